"""What gives secrets or rights asks for the password again, and then goes on where it was."""

import time
from typing import Any

import pytest
from django.test import Client

from accounts import second_factor
from accounts.models import Executor, User
from accounts.roles import Role
from tests.support.admin import (
    EXECUTORS,
    JOBS,
    USERS,
    act,
    ask,
    browser,
    confirm,
    is_question,
    told,
)
from tests.support.roles import PASSWORD, code, enrol, everything, make_stale, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def prof(db: None) -> User:
    return member("prof", Role.OWNER, PASSWORD)


@pytest.fixture
def client(prof: User) -> Client:
    """Whose password was given more than fifteen minutes ago."""
    client = browser(prof)
    make_stale(client)
    return client


def is_asked(answer: Any) -> bool:
    context = answer.context or {}
    return answer.status_code == 200 and context.get("title") == "Your password, once more"


def go_on(client: Client, answer: Any, **typed: str) -> Any:
    """Sends the form of the page, as a browser does: all that is hidden in it, and the password."""
    assert is_asked(answer)
    sent: dict[str, list[str]] = {}
    for name, value in answer.context["sent"]:
        sent.setdefault(name, []).append(value)
    fields = {"fresh-password": PASSWORD, **{f"fresh-{k}": v for k, v in typed.items()}}
    is_read = answer.wsgi_request.method == "GET"
    url = answer.wsgi_request.get_full_path()
    return client.post(url, {**sent, **fields, "fresh-is_read": str(is_read)})


def passwords() -> dict[str, str]:
    new = "quite another password"
    return {
        "password1": new, "password2": new, "usable_password": "true", "set-password": "1",
    }  # fmt: skip


# What is asked for, and what was sent then: the address's end, what is sent.
ASKED = {
    "a token": (f"{USERS}", {"action": "issue_token", "_selected_action": "alice"}),
    "a code": (f"{USERS}", {"action": "make_login_code", "_selected_action": "alice"}),
    "a host's token": (f"{EXECUTORS}", {"action": "issue_token", "_selected_action": "gpu1"}),
    "a second factor's end": (
        f"{USERS}", {"action": "remove_second_factor", "_selected_action": "alice"},
    ),
    "a purge": (f"{USERS}", {"action": "purge", "_selected_action": "alice"}),
    "a roster": (f"{USERS}add/", {"names": "new1"}),
    "a host": (f"{EXECUTORS}add/", {"names": "gpu7"}),
    "a password": (f"{USERS}alice/password/", passwords()),
    "one's own password": ("/admin/password_change/", {"old_password": PASSWORD}),
    "a role": (f"{USERS}alice/change/", {"username": "alice", "is_active": "on", "role": "ta"}),
    "a second factor": ("/admin/second-factor/", {"code": "000000"}),
    "recovery codes": ("/admin/second-factor/codes/", {}),
    "one's own second factor's end": ("/admin/second-factor/remove/", {}),
    "the policy": ("/admin/second-factor/policy/", {"required_of": "staff"}),
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
def test_what_asks_for_the_password(what: str, client: Client, alice: User, gpu1: Executor) -> None:
    where, sent = ASKED[what]
    where = where.replace("alice", str(alice.pk))
    keys = {"alice": str(alice.pk), "gpu1": str(gpu1.pk)}
    sent = {k: keys.get(v, v) if k == "_selected_action" else v for k, v in sent.items()}
    before = everything()
    answer = client.post(where, sent)
    assert is_asked(answer)
    assert "no-store" in answer["Cache-Control"]
    assert everything() == before
    assert not is_asked(go_on(client, answer))
    assert not is_asked(client.post(where, sent))  # for a quarter of an hour


def test_what_does_not(client: Client, alice: User, gpu1: Executor) -> None:
    for where in ("/admin/", JOBS, USERS, f"{USERS}add/", f"{USERS}{alice.pk}/change/"):
        assert not is_asked(client.get(where))
    same = {"username": "alice", "is_active": "on", "role": "student", "first_name": "Al"}
    assert client.post(f"{USERS}{alice.pk}/change/", same).status_code == 302
    assert not is_asked(act(client, USERS, "revoke_token", alice.pk))
    assert not is_asked(act(client, EXECUTORS, "disable", gpu1.pk))


def test_a_roster_is_not_lost(client: Client) -> None:
    """Whatever is in it, at each of the steps."""
    roster = 'login,name\r\nnew1,Ana Núñez\r\nnew2,"O\'Neil, <b>B</b>"\r\n' + "".join(
        f"student{n},Somebody\r\n" for n in range(2000)
    )
    seen = go_on(client, client.post(f"{USERS}add/", {"names": roster, "look": "See"}))
    form, question = seen.context["form"], seen.context["question"]
    assert form.data["names"] == roster
    assert question.count == 2002
    make_stale(client)
    sent = {"names": roster, "seen": form.digest(), "confirmed": "1", "count": "2002"}
    done = go_on(client, client.post(f"{USERS}add/", sent))
    assert len(done.context["files"]) == 2002
    assert User.objects.get(username="new2").last_name == "O'Neil"


def test_an_action_goes_on_with_its_question(client: Client, make_user: Any) -> None:
    users = [make_user(f"u{n}") for n in range(12)]
    answer = go_on(client, ask(client, USERS, "issue_token", *(user.pk for user in users)))
    assert is_question(answer)
    make_stale(client)  # the question was thought over
    answer = go_on(client, confirm(client, answer))
    assert len(answer.context["files"]) == 12


def test_a_page_that_is_read_is_shown_after_it(client: Client, alice: User) -> None:
    where = f"{USERS}{alice.pk}/password/"
    answer = go_on(client, client.get(where))
    assert (answer.status_code, answer["Location"]) == (302, where)
    assert "password1" in client.get(where).content.decode()


def test_a_password_that_was_typed_meanwhile_is_set(client: Client, alice: User) -> None:
    where = f"{USERS}{alice.pk}/password/"
    answer = go_on(client, client.post(where, passwords()))
    assert answer.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(passwords()["password1"])


def test_a_wrong_password_is_said_and_what_was_sent_is_kept(client: Client) -> None:
    answer = client.post(f"{USERS}add/", {"names": "new1"})
    for _ in range(2):
        answer = go_on(client, answer, password="wrong")
        assert is_asked(answer)
        assert "This is not your password." in answer.content.decode()
        assert "wrong" not in str(answer.context["sent"])
    assert not is_asked(go_on(client, answer))


def test_wrong_passwords_are_counted(client: Client, prof: User, settings: Any) -> None:
    """In this session alone: nobody can keep its owner out by failing elsewhere."""
    settings.TELERUN_FAILED_LOGINS = 3
    for _ in range(4):
        browser(None).post("/admin/login/", {"username": "prof", "password": "wrong"})
    answer = client.post(f"{USERS}add/", {"names": "new1"})
    for _ in range(3):
        answer = go_on(client, answer, password="wrong")
        assert answer.status_code == 200
    last = client.post(f"{USERS}add/", {"names": "new1", "fresh-password": PASSWORD})
    assert last.status_code == 429
    assert int(last["Retry-After"]) > 0
    assert "Too many" in last.content.decode()
    assert client.get(JOBS).status_code == 200


def test_the_old_password_is_counted_where_ones_own_is_changed(prof: User, settings: Any) -> None:
    settings.TELERUN_FAILED_LOGINS = 3
    client = browser(prof)
    new = {"new_password1": "quite another one", "new_password2": "quite another one"}
    for _ in range(3):
        client.post("/admin/password_change/", {"old_password": "wrong", **new})
    answer = client.post("/admin/password_change/", {"old_password": PASSWORD, **new})
    assert "Too many passwords were wrong" in told(answer)[-1]
    prof.refresh_from_db()
    assert prof.check_password(PASSWORD)


def test_the_second_factor_is_asked_for_too(prof: User) -> None:
    enrol(prof)
    client = browser(prof)
    make_stale(client)
    answer = client.post(f"{USERS}add/", {"names": "new1"})
    answer = go_on(client, answer)  # without a code
    answer = go_on(client, answer, code="000000")
    assert "This code is wrong" in answer.content.decode()
    used = code(prof)
    answer = go_on(client, answer, code=used, password="wrong")
    assert is_asked(answer)
    assert not is_asked(go_on(client, answer, code=used))  # beside a wrong one it was not used up
    make_stale(client)
    answer = go_on(client, client.post(f"{USERS}add/", {"names": "new1"}), code=used)
    assert is_asked(answer)
    assert not second_factor.verify(prof, used)


def test_the_password_goes_no_further(client: Client) -> None:
    answer = go_on(client, client.post(f"{USERS}add/", {"names": "new1"}))
    assert PASSWORD not in answer.content.decode()
    assert "fresh-password" not in answer.wsgi_request.POST


def test_whoever_may_not_is_refused_and_not_asked(alice: User) -> None:
    client = browser(member("tina", Role.TA, PASSWORD))
    make_stale(client)
    assert client.post(f"{USERS}add/", {"names": "new1"}).status_code == 403
    assert client.post("/admin/second-factor/policy/", {"required_of": "staff"}).status_code == 403
    assert client.post(f"{USERS}{alice.pk}/password/", passwords()).status_code == 403


# --- How long a session lasts ------------------------------------------------------------


def age(client: Client, seconds: float) -> None:
    session = client.session
    session["telerun_began"] = time.time() - seconds
    session.save()


def test_a_session_ends_after_a_working_day_whatever_is_done_in_it(prof: User) -> None:
    client = browser(prof)
    age(client, 9.9 * 3600)
    assert client.get(JOBS).status_code == 200
    age(client, 10.1 * 3600)
    make_stale(client)
    answer = client.get(JOBS)
    assert answer["Location"].startswith("/admin/login/")
    text = client.get(answer["Location"]).content.decode()
    assert "not authorized" not in text


@pytest.mark.parametrize(("days", "lasts"), [(13, False), (0.3, True)])
def test_a_session_of_a_version_before(prof: User, days: float, lasts: bool) -> None:
    """One of two weeks is over; another one lasts as long as those of today, and is not fresh."""
    client = browser(prof)
    session = client.session
    for name in ("telerun_began", "telerun_proved"):
        del session[name]
    session.set_expiry(int(days * 86400))
    session.save()
    assert (client.get(JOBS).status_code == 200) == lasts
    if lasts:
        assert is_asked(client.post(f"{USERS}add/", {"names": "new1"}))
        assert client.session["telerun_began"]


def test_a_password_a_role_and_a_second_factor_end_the_other_sessions(prof: User) -> None:
    tina = member("tina", Role.TA, PASSWORD)
    owner = browser(prof)
    changes = (
        lambda: owner.post(f"{USERS}{tina.pk}/password/", passwords()),
        lambda: owner.post(
            f"{USERS}{tina.pk}/change/", {"username": "tina", "is_active": "on", "role": "viewer"}
        ),
        lambda: enrol(tina),
        lambda: act(owner, USERS, "remove_second_factor", tina.pk),
    )
    for change in changes:
        tina.refresh_from_db()
        hers = browser(tina)
        assert hers.get(JOBS).status_code == 200
        change()
        assert hers.get(JOBS).status_code == 302
        assert owner.get(JOBS).status_code == 200


def test_ones_own_change_leaves_the_session_that_made_it(prof: User) -> None:
    member("other", Role.OWNER, PASSWORD)
    here, there = browser(prof), browser(prof)
    role = {"username": "prof", "is_active": "on", "role": "ta"}
    assert here.post(f"{USERS}{prof.pk}/change/", role).status_code == 302
    assert here.get(JOBS).status_code == 200
    assert there.get(JOBS).status_code == 302
    prof.refresh_from_db()
    here, there = browser(prof), browser(prof)
    new = {"new_password1": "quite another one", "new_password2": "quite another one"}
    answer = here.post("/admin/password_change/", {"old_password": PASSWORD, **new})
    assert answer.status_code == 302
    assert here.get(JOBS).status_code == 200
    assert there.get(JOBS).status_code == 302
