"""What the admin asks before it acts on many rows, or ends somebody's token."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Executor, LoginCode, User
from foundation import asking, ranges
from jobs.models import AuditEntry
from telerun_site.certificates import make_self_signed
from tests.support.admin import (
    ACTIONS,
    EXECUTORS,
    USERS,
    ask,
    browser,
    confirm,
    everything,
    is_question,
    page,
    staff,
    told,
)

pytestmark = pytest.mark.django_db


def students(count: int) -> list[User]:
    users = [User.objects.create_user(f"student{n}") for n in range(count)]
    for user in users:
        user.issue_token()
    return users


def pks(rows: Any) -> list[int]:
    return [row.pk for row in rows]


@pytest.mark.parametrize("action", ["issue_token", "revoke_token"])
def test_several_tokens_end_only_when_their_number_is_typed_in(ta: Client, action: str) -> None:
    users = students(3)
    before = everything()
    answer = ask(ta, USERS, action, *pks(users))
    assert is_question(answer)
    text = answer.content.decode()
    assert "Type the number <strong>3</strong>" in text
    assert "student0, student1, student2" in text
    for typed in ("", "2", "yes", "33", "-3"):
        again = confirm(ta, answer, count=typed)
        assert is_question(again), typed
        assert "Type 3." in again.content.decode()
    assert everything() == before
    assert not is_question(confirm(ta, answer, count=" 3 "))
    done = {"issue_token": "token-issued", "revoke_token": "token-revoked"}[action]
    names = AuditEntry.objects.filter(action=done, username="ta").values_list("request__name")
    assert {name for (name,) in names} == {str(user) for user in users}


def test_one_token_is_asked_about_and_nothing_is_typed(ta: Client) -> None:
    (user,) = students(1)
    before = everything()
    answer = ask(ta, USERS, "issue_token", user.pk)
    assert "Issue a new token for student0" in answer.content.decode()
    assert 'name="count"' not in answer.content.decode()
    assert everything() == before
    assert "files" in confirm(ta, answer).context


def test_staff_are_named_apart(ta: Client) -> None:
    anna = staff("anna")
    anna.issue_token()
    text = ask(ta, USERS, "issue_token", anna.pk, *pks(students(30))).content.decode()
    assert "1: anna" in text
    assert "There are staff among them." in text
    assert "30: " in text
    assert "and 10 more" in text


def test_of_an_executor_is_said_that_somebody_must_go_to_its_host(
    ta: Client, gpu1: Executor, gpu2: Executor
) -> None:
    gpu1.issue_token()
    text = ask(ta, EXECUTORS, "issue_token", gpu1.pk).content.decode()
    assert "No job runs on gpu1 until auth.json is replaced" in text
    text = ask(ta, EXECUTORS, "revoke_token", gpu1.pk, gpu2.pk).content.decode()
    assert "No job runs on gpu1 until a new token is issued" in text
    assert "<strong>2</strong>" in text


def test_loading_the_page_of_the_tokens_again_asks_again(ta: Client) -> None:
    (user,) = students(1)
    question = ask(ta, USERS, "issue_token", user.pk)
    confirm(ta, question)
    user.refresh_from_db()
    digest = user.token_digest
    again = confirm(ta, question)
    assert is_question(again)
    assert "New tokens were issued since this page was made" in again.content.decode()
    user.refresh_from_db()
    assert user.token_digest == digest
    assert "files" in confirm(ta, again).context  # who wants others all the same gets them


@pytest.mark.parametrize("shown_at", ["", "yesterday", "2026-99-99T00:00:00Z", "2999-01-01"])
def test_a_question_without_its_time_is_asked_again(ta: Client, shown_at: str) -> None:
    (user,) = students(1)
    question = ask(ta, USERS, "issue_token", user.pk)
    assert is_question(confirm(ta, question, shown_at=shown_at))


def test_codes_that_nobody_has_used_end_only_when_somebody_says_so(
    ta: Client, tmp_path: Path, settings: Any
) -> None:
    """They may have been mailed, or be on the page that is loaded again."""
    settings.TELERUN_CERTIFICATE = tmp_path / "server.cert"
    make_self_signed(["queue.example.edu"], tmp_path / "server.cert", tmp_path / "server.key")
    users = students(3)
    first = ask(ta, USERS, "make_login_code", *pks(users[:2]))
    assert len(first.context["codes"]) == 2
    kept = set(LoginCode.objects.values_list("digest", flat=True))
    question = ask(ta, USERS, "make_login_code", *pks(users))
    text = question.content.decode()
    assert '<th scope="row">Codes that no longer work</th><td>2: student0, student1</td>' in text
    assert "Type the number <strong>3</strong>" in text
    assert set(LoginCode.objects.values_list("digest", flat=True)) == kept
    assert len(confirm(ta, question).context["codes"]) == 3
    new = set(LoginCode.objects.values_list("digest", flat=True))
    again = confirm(ta, question)
    assert is_question(again)
    assert "What is lost has changed since this was shown." in again.content.decode()
    assert set(LoginCode.objects.values_list("digest", flat=True)) == new


def test_doing_nothing_leads_back(ta: Client) -> None:
    users = students(2)
    answer = ask(ta, f"{USERS}?is_staff__exact=0", "revoke_token", *pks(users))
    assert f'<a href="{USERS}?is_staff__exact=0" class="closelink">' in answer.content.decode()
    answer = ask(ta, USERS, "revoke_token", users[0].pk, button_of=users[0].pk)
    assert f'<a href="{USERS}{users[0].pk}/change/" class="closelink">' in answer.content.decode()
    answer = ask(ta, USERS, "revoke_token", users[0].pk, button_of='"><b>//evil.example')
    assert "<b>" not in answer.content.decode().partition("closelink")[0][-200:]


def test_every_action_on_more_than_ten_rows_is_asked_about(ta: Client) -> None:
    hosts = [Executor.objects.create(name=f"gpu{n}") for n in range(11)]
    assert not is_question(ask(ta, EXECUTORS, "disable", *pks(hosts[:10])))
    before = everything()
    for action in (*ACTIONS[EXECUTORS], "delete_selected"):
        answer = ask(ta, EXECUTORS, action, *pks(hosts))
        assert is_question(answer), action
        assert answer.context["question"].is_typed
    assert everything() == before
    assert is_question(confirm(ta, answer, count="10"))
    deletes = confirm(ta, answer)  # and then Django's own page, which lists what goes with them
    assert "Are you sure" in deletes.content.decode()
    assert Executor.objects.count() == 11


def test_what_was_shown_is_what_is_done(ta: Client) -> None:
    """Of a whole list, into which somebody has come since."""
    users = students(12)
    answer = ta.post(
        f"{USERS}?is_staff__exact=0",
        {"action": "revoke_token", "_selected_action": [users[0].pk], "select_across": "1"},
    )
    assert answer.context["question"].count == 12
    late = User.objects.create_user("late")
    late.issue_token()
    confirm(ta, answer)
    late.refresh_from_db()
    assert late.token_digest
    assert User.objects.exclude(token_digest=None).count() == 1


def test_one_that_is_gone_since_is_asked_about_again(ta: Client) -> None:
    users = students(12)
    answer = ask(ta, USERS, "revoke_token", *pks(users))
    users[0].delete()
    again = confirm(ta, answer)
    assert again.context["question"].count == 11
    assert not is_question(confirm(ta, again))


def test_no_action_takes_more_than_a_statement_can(
    ta: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST", 11)
    before = everything()
    answer = ask(ta, USERS, "revoke_token", *pks(students(12)))
    assert "That is more than 11 rows" in told(answer)[-1]
    assert [row["request"] for row in everything()[3]] == [row["request"] for row in before[3]]


@pytest.mark.parametrize("chosen", ["", "abc", "1-", "5-1000000", "1,,2", "9" * 19, "\0"])
def test_rows_that_no_question_named(ta: Client, chosen: str) -> None:
    users = students(2)
    question = ask(ta, USERS, "revoke_token", *pks(users))
    confirm(ta, question, chosen=chosen)
    assert User.objects.filter(token_digest=None).count() == 1  # ta, who never had one


def test_keys_are_written_in_a_few_characters() -> None:
    keys = [9, 1, 2, 3, 5, 7, 8]
    assert ranges.written(keys) == "1-3,5,7-9"
    assert ranges.read("1-3,5,7-9", 7) == sorted(keys)
    assert ranges.written([]) == ""
    assert len(ranges.read("1-20", 20)) == 20
    with pytest.raises(ValueError, match="too many"):
        ranges.read(f"1-{10**18 - 1}", asking.MOST)
    after = {0: 1, 1: 2, 3: 5, 5: 7, 6: 7, 8: 9, 9: None}
    assert {n: ranges.first_after("1-3,5,7-9", n) for n in after} == after
    assert ranges.first_after("", 0) is None


def test_whoever_may_not_act_is_not_asked(alice: User) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = browser(looker)
    answer = ask(client, USERS, "issue_token", alice.pk, confirmed="1", chosen=str(alice.pk))
    assert not is_question(answer)
    assert "files" not in (answer.context or {})
    alice.refresh_from_db()
    assert alice.token_digest is None
    assert "issue_token" not in page(client, USERS)
