"""Users, executors and their tokens in the admin site."""

import json
import logging
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts import operations as accounts_operations
from accounts import roles, tokens
from accounts.authentication import bearer_of
from accounts.management.commands import telerun_auth
from accounts.models import RESERVED_NAMES, Executor, User
from accounts.roles import Role
from jobs import claiming, errors, transitions
from jobs.management.commands import telerun_db
from jobs.models import AuditEntry
from tests.support.admin import (
    EXECUTORS,
    JOBS,
    USERS,
    act,
    add,
    browser,
    everything,
    page,
    submit,
    told,
)

pytestmark = pytest.mark.django_db


def shown_tokens(answer: Any) -> list[str]:
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    files = [json.loads(auth) for _, auth in answer.context["files"]]
    text = answer.content.decode()
    for file in files:
        assert text.count(file["token"]) == 1
        assert file["server"].startswith("https://testserver")
    return [file["token"] for file in files]


@pytest.mark.django_db(transaction=True)  # the audit file is written after a real commit
@pytest.mark.parametrize("model", [User, Executor])
def test_a_token_is_shown_once_and_kept_nowhere(
    ta: Client, model: Any, alice: User, gpu1: Executor, audit_log: Any,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    where, bearer = (USERS, alice) if model is User else (EXECUTORS, gpu1)
    answer = act(ta, where, "issue_token", bearer.pk)
    (token,) = shown_tokens(answer)
    assert bearer_of(token) == bearer
    row = model.objects.filter(pk=bearer.pk).values().get()
    assert row["token_digest"] == tokens.digest(token)
    places = {
        "the database": dump(),
        "a header": str(answer.headers),
        "a cookie": str(ta.cookies) + str(answer.cookies),
        "a message": str(told(answer)),
        "the session": str(dict(ta.session)),
        "a log": caplog.text + "".join(capfd.readouterr()),
        "the audit file": audit_log.read_text(),
        "a later page": page(ta, where) + page(ta, f"{where}{bearer.pk}/change/"),
    }
    assert [name for name, text in places.items() if token in text] == []
    entry = AuditEntry.objects.filter(action="token-issued").get()
    assert (entry.username, entry.request) == ("ta", {"name": str(bearer)})

    (second,) = shown_tokens(act(ta, where, "issue_token", bearer.pk))
    assert second != token
    act(ta, where, "revoke_token", bearer.pk)
    bearer.refresh_from_db()
    assert bearer.token_digest is None
    assert AuditEntry.objects.get(action="token-revoked").username == "ta"


def dump() -> str:
    """Every row of every table."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += cursor.fetchall()
    assert rows
    return repr(rows)


def test_nobody_gets_a_name_that_the_audit_log_uses_for_itself(ta: Client, alice: User) -> None:
    assert set(RESERVED_NAMES) == {transitions.SYSTEM, telerun_auth.ACTOR, telerun_db.ACTOR}
    for name in RESERVED_NAMES:
        for text in (name, f"zoe\n{name.upper()}"):
            assert "own name" in ta.post(f"{USERS}add/", {"names": text}).content.decode()
        changed = ta.post(f"{USERS}{alice.pk}/change/", {"username": name})
        assert "own name" in changed.content.decode()
    assert set(User.objects.values_list("username", flat=True)) == {"ta", "alice"}


def test_a_roster_goes_in_and_tokens_come_out(ta: Client, alice: User) -> None:
    before = alice.token_digest
    answer = add(ta, USERS, "  carol\r\nalice\ndave@example.edu\nerin\ncarol\n\n")
    names = [str(bearer) for bearer, _ in answer.context["files"]]
    assert names == ["carol", "dave@example.edu", "erin"]
    assert "There already, and left as they are: alice." in answer.content.decode()
    for name, token in zip(names, shown_tokens(answer), strict=True):
        user = bearer_of(token)
        assert user.username == name
        assert not user.has_usable_password()
        assert not user.is_staff
    alice.refresh_from_db()
    assert alice.token_digest == before
    created = AuditEntry.objects.filter(action="user-created", username="ta")
    assert created.count() == 3


def test_an_executor_is_added(ta: Client) -> None:
    (token,) = shown_tokens(add(ta, EXECUTORS, "gpu-7"))
    assert bearer_of(token).name == "gpu-7"
    assert AuditEntry.objects.get(action="executor-created").username == "ta"


@pytest.mark.parametrize(
    ("where", "names", "words"),
    [
        (USERS, "bob\na/b", "Enter a valid username"),
        (USERS, "bob\n" + "x" * 151, "at most 150 characters"),
        (USERS, "bob\n<script>alert(1)</script>", "&lt;script&gt;"),
        (USERS, "bob\ncarol dave", "Enter a valid username"),
        (USERS, "bob\0", "Null characters are not allowed"),
        (USERS, "alice", "All of them are there already"),
        (USERS, "", "This field is required"),
        (USERS, " ,; \n", "No name in it"),
        (EXECUTORS, "gpu9\n../x", "letters, digits"),
    ],
)
def test_a_bad_name_is_said_and_nobody_is_added(
    ta: Client, alice: User, where: str, names: str, words: str
) -> None:
    before = everything()
    answer = ta.post(f"{where}add/", {"names": names})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert "<script>alert" not in answer.content.decode()
    assert everything() == before


def test_two_staff_with_one_roster(ta: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one was faster, between the look at the names and the writing."""
    create = accounts_operations.create_user

    def create_after_somebody_else(name: str, actor: str) -> Any:
        if name == "dave":
            User.objects.create_user("dave")
        return create(name, actor)

    monkeypatch.setattr("accounts.operations.create_user", create_after_somebody_else)
    answer = add(ta, USERS, "carol\ndave")
    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()
    assert [str(user) for user, _ in answer.context["files"]] == ["carol"]


def test_an_executor_is_taken_out_of_service_and_put_back(
    ta: Client, gpu1: Executor, alice: User
) -> None:
    submit(alice)
    answer = act(ta, EXECUTORS, "disable", gpu1.pk)
    assert told(answer) == ["Out of service, and may finish what runs: gpu1."]
    gpu1.refresh_from_db()
    with pytest.raises(errors.ExecutorDisabled):
        claiming.claim(gpu1)
    act(ta, EXECUTORS, "enable", gpu1.pk)
    gpu1.refresh_from_db()
    assert claiming.claim(gpu1)
    entries = AuditEntry.objects.filter(action__startswith="executor-", username="ta")
    assert [entry.action for entry in entries] == ["executor-enabled", "executor-disabled"]


def test_a_student_is_made_staff_with_a_role_and_a_password(ta: Client, alice: User) -> None:
    form = ta.get(f"{USERS}{alice.pk}/change/").context["adminform"].form
    chosen = {k: v for k, v in form.initial.items() if v is not None} | {"role": "owner"}
    answer = ta.post(f"{USERS}{alice.pk}/change/", chosen)
    assert answer.status_code == 302, answer.context["errors"]
    alice.refresh_from_db()
    assert roles.role_of(alice) == Role.OWNER
    entry = AuditEntry.objects.get(action="role-changed")
    assert (entry.username, entry.request["name"]) == ("ta", "alice")
    assert entry.request["before"] == {"role": "student"}
    assert entry.request["after"] == {"role": "owner"}

    password = "correct horse battery"
    passwords = {"usable_password": "true", "password1": password, "password2": password}
    answer = ta.post(f"{USERS}{alice.pk}/password/", {**passwords, "set-password": "1"})
    assert answer.status_code == 302, answer.context["form"].errors
    client = browser(None)
    client.post("/admin/login/", {"username": "alice", "password": password})
    assert client.get(JOBS).status_code == 200
    assert AuditEntry.objects.filter(action="user-changed").count() == 1
    assert password not in dump()


def test_who_has_jobs_is_not_deleted_and_a_mistyped_name_is(
    ta: Client, alice: User, bob: User, gpu1: Executor
) -> None:
    submit(alice)
    assert ta.get(f"{USERS}{alice.pk}/delete/").status_code == 403  # and lists no thousand jobs
    assert ta.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    act(ta, USERS, "delete_selected", alice.pk, bob.pk, post="yes")
    assert User.objects.filter(username__in=("alice", "bob")).count() == 2
    assert ta.post(f"{USERS}{bob.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="bob").exists()
    assert AuditEntry.objects.get(action="user-deleted").request == {"name": "bob"}
    act(ta, EXECUTORS, "delete_selected", gpu1.pk, post="yes")
    assert not Executor.objects.exists()
    assert AuditEntry.objects.get(action="executor-deleted").username == "ta"
