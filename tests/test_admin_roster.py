"""A roster as it is pasted, and what the page for new users makes of it."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client

from accounts import operations, roster
from accounts.models import Executor, User
from jobs.models import AuditEntry
from tests.support.admin import EXECUTORS, USERS, add, add_seen, confirm, everything, is_question

pytestmark = pytest.mark.django_db

# The same four people, as different systems give them.
ROSTERS = {
    "a name a line": "jdoe9\nkroe1\nlmoe2\nmpoe3\n",
    "the queue's own example": (
        "login,name,section\njdoe9,John Doe,2\nkroe1,Karl Roe,2\nlmoe2,Lea Moe,1\nmpoe3,Mia Poe,1\n"
    ),
    "netid in the third column": (
        "name,email,netid,section\r\nJohn Doe,john@x.edu,jdoe9,2\r\nKarl Roe,karl@x.edu,kroe1,2\r\n"
        "Lea Moe,lea@x.edu,lmoe2,1\r\nMia Poe,mia@x.edu,mpoe3,1\r\n"
    ),
    "semicolons, quotes and a byte order mark": (
        '\ufeff"Student";"SIS Login ID";"E-Mail"\r\n"Doe, John";jdoe9;john@x.edu\r\n'
        '"Roe, Karl";kroe1;karl@x.edu\r\n"Moe, Lea";"lmoe2";lea@x.edu\r\n"Poe, Mia";mpoe3;\r\n'
    ),
    "tabs without headings": (
        "20230001\tDoe, John\tjdoe9\t2\n20230002\tRoe, Karl\tkroe1\t2\n"
        "20230003\tMoe, Lea\tlmoe2\t1\n20230004\tPoe, Mia\tmpoe3\t1"
    ),
    "numbers, tabs and old line ends": (
        "1\tjdoe9\tjohn@x.edu\r2\tkroe1\tkarl@x.edu\r3\tlmoe2\tlea@x.edu\r4\tmpoe3\tmia@x.edu\r"
    ),
    "Excel's own first line, and texts as formulas": (
        'sep=;\r\nname;login\r\nJohn Doe;="jdoe9"\r\nKarl Roe;"=""kroe1"""\r\n'
        "Lea Moe;lmoe2\r\nMia Poe;mpoe3\r\n"
    ),
    "a title, and bars": (
        "GPU programming|2026\n\nExported|today\nLogin|Name\njdoe9|John\nkroe1|Karl\nlmoe2|Lea\n"
        "mpoe3|Mia\n"
    ),
    "German": (
        "Vorname;Benutzername;E-Mail-Adresse\nJohn;jdoe9;j@x.edu\nKarl;kroe1;k@x.edu\n"
        "Lea;lmoe2;l@x.edu\nMia;mpoe3;m@x.edu\n"
    ),
    "French": (
        "Nom;Prénom;Nom d'utilisateur\nDoe;John;jdoe9\nRoe;Karl;kroe1\nMoe;Lea;lmoe2\n"
        "Poe;Mia;mpoe3\n"
    ),
    "a language that nobody here speaks": (
        "Xyzzyname,Xyzzypost\njdoe9,j@x.edu\nkroe1,k@x.edu\nlmoe2,l@x.edu\nmpoe3,m@x.edu\n"
    ),
    "no headings, and everybody's role": (
        "jdoe9,John Doe,Student\nkroe1,Karl Roe,Student\nlmoe2,Lea Moe,User\nmpoe3,Mia Poe,TA\n"
    ),
    "a field of two lines": (
        '"Name","login","Note"\r\n"Doe, John",jdoe9,"late\r\nill"\r\n"Roe, Karl",kroe1,"5"" d"\r\n'
        '"Moe, Lea",lmoe2,"a\r\nb\r\n\r\nc"\r\n"Poe, Mia",mpoe3,\r\n'
    ),
    "Canvas's grades": (
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (1234),Final Score\n"
        ",,,,,Manual Posting,(read only)\n    Points Possible,,,,,10.00,(read only)\n"
        '"Doe, John",23001,A01,jdoe9,"CS 1 and CS 2",9,90\n"Roe, Karl",23002,A02,kroe1,CS 1,,\n'
        '"Moe, Lea",23003,A03,lmoe2,CS 1,9,9\n"Poe, Mia",23004,A04,mpoe3,CS 1,9,9\n'
        '"Student, Test",23099,,8bf6e1e3b1c04d5f8bf6e1e3b1c04d5f8bf6e1e3,CS 1,,\n'
    ),
    "Canvas's grades without logins": (
        "Student,ID,SIS User ID,Section,Lab 1 (1234)\n    Points Possible,,,,10.00\n"
        '"Doe, John",23001,jdoe9,1,9\n"Roe, Karl",23002,kroe1,1,\n"Moe, Lea",23003,lmoe2,1,9\n'
        '"Poe, Mia",23004,mpoe3,1,9\n"Student, Test",23099,,1,\n'
    ),
    "Blackboard's grades": (
        '"Last Name"\t"First Name"\t"Username"\t"Student ID"\t"Lab 1 [Total Pts: 10] |12345"\n'
        '"Doe"\t"John"\t"jdoe9"\t"2001"\t"9"\n"Roe"\t"Karl"\t"kroe1"\t"2002"\t""\n'
        '"Moe"\t"Lea"\t"lmoe2"\t"2003"\t""\n"Poe"\t"Mia"\t"mpoe3"\t"2004"\t""\n'
        '"ta_PreviewUser"\t"PreviewUser"\t"ta_previewuser"\t""\t""\n'
    ),
    "GitHub Classroom's": (
        '"identifier","github_username","github_id","name"\n"jdoe9","johnny","12","John Doe"\n'
        '"kroe1","","",""\n"lmoe2","lea","13","Lea Moe"\n"mpoe3","","",""\n'
    ),
    "a registrar's, with a title, a total and empty columns": (
        '"Class Roster","","","",""\n"Term: Fall 2026","","","",""\n""\n'
        '"#","Last","First","NetID","Level","",""\n"1","Doe","John A.","jdoe9","UG","",""\n'
        '"2","Smith","John","kroe1","UG"\n"3","Smith","John","lmoe2","GR",""\n'
        '"4","Poe","Mia","mpoe3","GR","",""\n"Total: 4 students","","","",""\n'
    ),
    "headings of two lines, and explained": (
        '"Name (as in\nthe passport)","Login\nname",Section\n"Doe, John",jdoe9,1\n'
        '"Roe, Karl",kroe1,1\n'
        '"Moe, Lea",lmoe2,1\n"Poe, Mia",mpoe3,1\n'
    ),
    "French, as Moodle has it": (
        '"Prénom","Nom de famille","Nom d\u2019utilisateur","Adresse de courriel"\n'
        '"Zoé","L\'Écuyer","jdoe9","z@x.fr"\n"Noël","D\u2019Amico","kroe1","n@x.fr"\n'
        '"Léa","Moe","lmoe2","l@x.fr"\n"Mia","Poe","mpoe3","m@x.fr"\n'
    ),
    "what Brightspace marks": (
        "OrgDefinedId,Username,Email\n#1,#jdoe9,j@x.edu\n#2,#kroe1,k@x.edu\n#3,#lmoe2,l@x.edu\n"
        "#4,#mpoe3,m@x.edu\n"
    ),
    "what cannot be seen": (
        "login\tname\njdoe9\u200b\tJohn\nkroe1\u00a0\tKarl\n\ufefflmoe2\tL\nmpoe3\tM\n"
    ),
    "blanks and empty lines": (
        "\n  jdoe9 , John Doe,\n\n kroe1 ,Karl Roe,\n,,\nlmoe2,Lea Moe\nmpoe3,"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ROSTERS)
def test_a_roster_is_understood(ta: Client, how: str) -> None:
    answer = ta.post(f"{USERS}add/", {"names": ROSTERS[how]})
    assert names_of(answer) == ["jdoe9", "kroe1", "lmoe2", "mpoe3"]
    assert set(User.objects.values_list("username", flat=True)) == {"ta"}  # so far
    made = add_seen(ta, USERS, ROSTERS[how], answer)
    assert [str(bearer) for bearer, _ in made.context["files"]] == names_of(answer)
    assert User.objects.count() == 5


def names_of(answer: Any) -> list[str]:
    """Who would be added, as the page shows it."""
    text = answer.content.decode()
    assert "Nobody has been added yet." in text
    names = [person.name for person in answer.context["new"]]
    assert all(f'<th scope="row">{name}</th>' in text for name in names)
    return names


def test_what_is_known_of_a_person_is_kept(ta: Client) -> None:
    for how in ("netid in the third column", "semicolons, quotes and a byte order mark"):
        add(ta, USERS, ROSTERS[how])
        john = User.objects.get(username="jdoe9")
        assert (john.first_name, john.last_name, john.email) == ("John", "Doe", "john@x.edu")
        User.objects.exclude(username="ta").delete()


def test_the_page_says_which_column_is_what_and_another_can_be_chosen(ta: Client) -> None:
    text = ROSTERS["netid in the third column"]
    answer = ta.post(f"{USERS}add/", {"names": text})
    assert answer.context["form"].columns() == [
        ("name", "first and last name"),
        ("email", "e-mail address"),
        ("netid", "the name that they submit under"),
        ("section", "not used"),
    ]
    other = ta.post(f"{USERS}add/", {"names": text, "column": "1", "look": "1"})
    assert names_of(other)[0] == "john@x.edu"
    add_seen(ta, USERS, text, other, column="1")
    assert User.objects.filter(username="john@x.edu").exists()


def test_each_line_that_is_refused_says_why(ta: Client, alice: User) -> None:
    names = "alice\nALICE\nbob\nbob\ncarol dave\na/b\nerin, frank\nsystem\ngrace\n"
    answer = ta.post(f"{USERS}add/", {"names": names})
    assert names_of(answer) == ["bob", "grace"]
    assert [person.name for person in answer.context["there"]] == ["alice"]
    refused = {person.line: person.why for person in answer.context["refused"]}
    assert set(refused) == {2, 5, 6, 7, 8}
    assert refused[2] == "It differs only in capitals from alice, who is there."
    assert refused[7] == "It has 2 fields; one name a line."
    assert "own name" in refused[8]
    for why in refused.values():
        assert why.split(";")[0] in answer.content.decode().replace("&#x27;", "'")


def test_an_e_mail_address_that_is_none_is_refused(ta: Client) -> None:
    answer = ta.post(f"{USERS}add/", {"names": "login,email\nbob,bob@x.edu\neve,nowhere\n"})
    assert names_of(answer) == ["bob"]
    assert [person.why for person in answer.context["refused"]] == ["Enter a valid email address."]


@pytest.mark.parametrize("where", [USERS, EXECUTORS])
def test_a_new_page_complains_of_nothing(ta: Client, where: str) -> None:
    text = ta.get(f"{where}add/").content.decode()
    assert "errorlist" not in text
    assert "autofocus" in text


def test_more_than_ten_are_added_only_when_their_number_is_typed_in(ta: Client) -> None:
    names = "\n".join(f"student{n}" for n in range(200))
    before = everything()
    seen = ta.post(f"{USERS}add/", {"names": names})
    text = seen.content.decode()
    assert "Type the number <strong>200</strong>" in text
    assert "And 100 more." in text
    for typed in ("", "20"):
        answer = add_seen(ta, USERS, names, seen, count=typed)
        assert "Type 200." in answer.content.decode()
    assert everything() == before
    assert len(add_seen(ta, USERS, names, seen).context["files"]) == 200
    assert AuditEntry.objects.filter(action="user-created", username="ta").count() == 200


def test_what_was_not_seen_is_not_added(ta: Client) -> None:
    """The text was changed after the look, or somebody else was faster."""
    seen = ta.post(f"{USERS}add/", {"names": "bob\ncarol"})
    before = everything()
    assert names_of(add_seen(ta, USERS, "bob\ndave", seen)) == ["bob", "dave"]
    assert names_of(add_seen(ta, USERS, "bob\ncarol", seen, look="1")) == ["bob", "carol"]
    assert everything() == before
    User.objects.create_user("bob")
    assert names_of(add_seen(ta, USERS, "bob\ncarol", seen)) == ["carol"]
    assert not User.objects.filter(username="carol").exists()


def test_tokens_that_were_lost_with_their_page_can_be_had_anew(ta: Client) -> None:
    """The page was loaded again, or closed: the queue cannot show them a second time."""
    text = ROSTERS["the queue's own example"]
    seen = ta.post(f"{USERS}add/", {"names": text})
    first = add_seen(ta, USERS, text, seen).context["files"]
    again = add_seen(ta, USERS, text, seen)
    assert "All of them are there already." in again.content.decode()
    assert "Issue new tokens for these 4" in again.content.decode()
    question = ta.post(USERS, again.context["there_chosen"])
    assert is_question(question)
    second = confirm(ta, question).context["files"]
    assert [str(bearer) for bearer, _ in second] == [str(bearer) for bearer, _ in first]
    assert not {auth for _, auth in second} & {auth for _, auth in first}


def test_nobody_is_called_by_a_first_name_where_there_is_something_better(ta: Client) -> None:
    """Moodle's list of participants: it has no log-in names."""
    text = "First name,Surname,ID number,Email address,Groups\n" + "".join(
        f"{first},Doe,2023000{n},{n}@x.edu,A\n" for n, first in enumerate(("John", "Karl", "Lea"))
    )
    answer = ta.post(f"{USERS}add/", {"names": text})
    assert names_of(answer) == ["20230000", "20230001", "20230002"]
    chosen = ta.post(f"{USERS}add/", {"names": text, "column": "3", "look": "1"})
    assert names_of(chosen) == ["0@x.edu", "1@x.edu", "2@x.edu"]


def test_one_name_for_two_people(ta: Client) -> None:
    names = "login,name\njdoe,John Doe\njdoe,Jane Doe\nBob,B\nbob,C\nkroe,K\nkroe,K\n"
    answer = ta.post(f"{USERS}add/", {"names": names})
    assert names_of(answer) == ["jdoe", "Bob", "kroe"]
    assert {person.line: person.why for person in answer.context["refused"]} == {
        3: "Line 2 has the same name, and is not the same otherwise.",
        5: "It differs only in capitals from Bob in line 4.",
    }


def test_what_has_been_made_is_shown_whatever_becomes_of_the_rest(
    ta: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = operations.create_user

    def create_one(name: str, actor: str, **about: str) -> Any:
        if name == "carol":
            raise OperationalError("database is locked")
        if name == "dave":
            User.objects.create_user("dave")  # somebody else was faster
        return create(name, actor, **about)

    monkeypatch.setattr(operations, "create_user", create_one)
    made = add(ta, USERS, "bob\ncarol\ndave\nerin")
    assert [str(bearer) for bearer, _ in made.context["files"]] == ["bob", "erin"]
    assert [str(one) for one, _ in made.context["refused"]] == ["carol", "dave"]
    assert "Not done for carol" in made.content.decode()


def test_executors_are_added_like_users(ta: Client) -> None:
    answer = ta.post(f"{EXECUTORS}add/", {"names": "host\ngpu-1\n../x\n"})
    assert names_of(answer) == ["gpu-1"]
    add_seen(ta, EXECUTORS, "host\ngpu-1\n../x\n", answer)
    assert Executor.objects.get().name == "gpu-1"


def test_the_address_of_the_tokens_is_the_queue_s_own(ta: Client, settings: Any) -> None:
    settings.TELERUN_PUBLIC_URL = "https://queue.example.edu"
    ((_, auth),) = add(ta, USERS, "bob").context["files"]
    assert '"server": "https://queue.example.edu"' in auth


@pytest.mark.parametrize(
    "text",
    ['"', '"a', 'a"b"c', ",", ";;;", "\t", "name,name\n", "a,b\nc,d,e,f\n", "x" * 200_000,
     "é" * 40, "\u202egnp", "'a','b'", "=1+1", "name\n\nname\n", "a\x1b[2J"],
)  # fmt: skip
def test_odd_rosters(ta: Client, text: str) -> None:
    before = everything()
    answer = ta.post(f"{USERS}add/", {"names": text})
    assert answer.status_code == 200
    shown = re.sub(r"<textarea.*?</textarea>", "", answer.content.decode(), flags=re.DOTALL)
    assert not set("\x1b\u202e") & set(shown)
    assert everything() == before


def test_a_roster_that_is_too_long(ta: Client) -> None:
    answer = ta.post(f"{USERS}add/", {"names": "x\n" * (roster.MOST_LINES + 1)})
    assert "At most 5,000 lines at once." in answer.content.decode()


# --- The same as a file -------------------------------------------------------------------

TABLE = "login;name\njmü;Jörg Müller\nkroe1;Karl Roe\n"
FILES = {
    "UTF-8": TABLE.encode(),
    "UTF-8 with its mark": TABLE.encode("utf-8-sig"),
    "UTF-16, as Excel's Unicode text": TABLE.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + TABLE.encode("utf-16-be"),
    "UTF-16 without a mark": TABLE.encode("utf-16-le"),
    "Windows-1252": TABLE.encode("cp1252"),
}


def upload(ta: Client, content: bytes, **more: Any) -> Any:
    file = SimpleUploadedFile("roster.csv", content, "text/csv")
    return ta.post(f"{USERS}add/", {"names": "", "file": file, **more})


@pytest.mark.parametrize("how", FILES)
def test_a_file_is_read_in_its_letters(ta: Client, how: str) -> None:
    answer = upload(ta, FILES[how])
    assert names_of(answer) == ["jmü", "kroe1"]
    made = add_seen(ta, USERS, answer.context["form"]["names"].value(), answer)
    assert [str(bearer) for bearer, _ in made.context["files"]] == ["jmü", "kroe1"]
    assert User.objects.get(username="jmü").last_name == "Müller"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04" + bytes(99), "That is a spreadsheet. Save it as CSV"),
        (b"\x7fELF" + bytes(9) + b"abc" * 99, "That file is no text."),
        (b"", "The submitted file is empty."),
        (b"\n\n", "This field is required."),
    ],
)
def test_a_file_that_is_none_of_names(ta: Client, content: bytes, why: str) -> None:
    answer = upload(ta, content)
    assert answer.status_code == 200
    assert why in answer.content.decode()
    assert User.objects.count() == 1


def test_a_thousand_students(ta: Client) -> None:
    text = "netid,name,email\n" + "".join(
        f'stud{n},"Last{n}, First",stud{n}@x.edu\n' for n in range(1000)
    )
    answer = upload(ta, text.encode())
    assert len(answer.context["form"].those("new")) == 1000
    assert answer.context["question"].count == 1000


def test_rows_that_a_system_adds_are_refused_by_what_is_in_them(ta: Client) -> None:
    answer = ta.post(f"{USERS}add/", {"names": ROSTERS["Canvas's grades"]})
    refused = {person.line: (person.name, person.why) for person in answer.context["refused"]}
    assert refused[3] == ("Points Possible, 10.00, (read only)", "It has no name.")
    assert refused[8][1] == "It is the test student of the course's system."
