"""A person is purged: nothing holds their name, e-mail or programs any more; the rest stays."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from accounts import login_codes, operations, purging, roles
from accounts.models import Executor, LoginCode, User
from accounts.platforms import Service
from accounts.public_address import PublicAddress
from foundation.problems import Problem
from jobs import audit, cancelling, claiming, invariants, reporting, staff, submitting
from jobs.audit import Entry, file
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import Attempt, AuditEntry, FailuresSeen, Job, OutputFile, Purge
from jobs.submitting import Submission
from tests.support.admin import USERS, browser, run, submit
from tests.support.admin import staff as staff_user

pytestmark = pytest.mark.django_db(transaction=True)

NAME, OLD, MAIL = "zzmarkerzz", "zzformerzz", "zzmail@zzmarkerzz.example"
TEXT = "zzsourcezz"
MARKERS = ("zzmarkerzz", "zzformerzz", "zzmail", "zzsourcezz", "zzfirstzz", "198.51.100.77")
HERE = "198.51.100.77"
_SERVICE = Service({"cuda": "cuda"}, frozenset(["cuda"]))  # takes several files


@pytest.fixture
def person(settings: Any, gpu1: Executor) -> User:
    """Somebody who left a trace in every place that there is."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 9
    owner = staff_user("owner")
    page = browser(owner)
    user, _ = operations.create_user(OLD, "owner", email=MAIL, first_name="zzfirstzz")
    _renamed(page, user)
    _left_traces_in_accounts(page, user)
    _left_jobs(user, gpu1)
    _acted_as_staff(user)
    return user


def _renamed(page: Client, user: User) -> None:
    where = f"{USERS}{user.pk}/change/"
    form = page.get(where).context["adminform"].form
    values = {k: v for k, v in form.initial.items() if v is not None}
    answer = page.post(where, {**values, "username": NAME, "is_active": "on"})
    assert answer.status_code == 302, answer.context["errors"]
    user.refresh_from_db()


def _left_traces_in_accounts(page: Client, user: User) -> None:
    address = PublicAddress("queue.example:4443", None)
    login_codes.make(user, "owner", address)
    token = operations.issue_token(user, "owner")
    client = browser(None, REMOTE_ADDR=HERE)
    client.post("/login", {"username": NAME, "token": "tlru_wrong"})
    assert client.post("/login", {"username": NAME, "token": token}).status_code == 302
    client.post("/admin/login/", {"username": NAME, "password": "wrong"})
    of_users = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(
        user=user, content_type=of_users, object_id=str(user.pk), object_repr=NAME, action_flag=2
    )


def _left_jobs(user: User, gpu: Executor) -> None:
    source = f"// {TEXT}\n"
    program = Submission(source, f"{TEXT}.cu", [TEXT], {f"{TEXT}.cu": source}, {"a.h": source})
    submitting.submit(user, program, f"key-{TEXT}")
    attempt = claiming.claim(gpu, service=_SERVICE)
    reporting.keep_file(gpu, attempt.pk, attempt.lease_token, f"{TEXT}.txt", TEXT.encode())
    details = {"files": [{"name": f"{TEXT}.txt", "size": len(TEXT)}], "said": TEXT}
    logs = {"compile_log": TEXT.encode(), "execute_log": TEXT.encode()}
    result = reporting.Result("succeeded", **logs, details=details)
    reporting.finish(gpu, attempt.pk, attempt.lease_token, result)
    cancelled = submit(user, source)
    cancelling.cancel(cancelled.pk, NAME)
    submit(user, source, f"{TEXT}.cu")
    attempt = claiming.claim(gpu)
    reporting.release(gpu, attempt.pk, attempt.lease_token, f"no room for {TEXT}.txt")
    assert claiming.claim(gpu)  # it runs, and will be told to stop
    submit(user, source)


def _acted_as_staff(user: User) -> None:
    other = User.objects.create_user("other")
    job = submit(other, source=f"// by {NAME}, who is my friend\n")
    cancelling.cancel(job.pk, NAME)
    staff.requeue(job.pk, NAME)
    bulk = working.begin(Kind.CANCEL, [job.pk], NAME)
    working.stop(bulk.pk, NAME)
    FailuresSeen.objects.create(pk=1, until=timezone.now(), actor=NAME)
    with transaction.atomic():
        audit.record(
            Entry("owner", "tested", None, {"reason": f"for {NAME}, {MAIL} and {OLD}."}),
            Entry("owner", "tested", None, {"names": [NAME], "in": {NAME: 1}}),
        )


def rows() -> str:
    """Every value of every table."""
    told: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            told += (repr([*map(_plain, row)]) for row in cursor.fetchall())
    return "\n".join(told)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def found_in(text: str | bytes) -> list[str]:
    """The markers that stand in it, but in what a friend submitted, which is theirs."""
    text = text.encode() if isinstance(text, str) else text
    text = text.replace(f"by {NAME}, who is my friend".encode(), b"")
    return [marker for marker in MARKERS if marker.encode() in text]


def test_nothing_of_the_person_is_left(person: User, audit_log: Path, gpu1: Executor) -> None:
    before = rows()
    assert set(found_in(before)) == set(MARKERS)  # or the test says nothing
    states = dict(Job.objects.filter(user=person).values_list("pk", "state"))
    purged = purging.purge.get()(NAME, "owner")
    assert found_in(rows()) == []
    assert found_in(audit_log.read_bytes()) == []
    assert invariants.violations() == []
    assert len(states) == 4
    assert purged.words.startswith(f"Purged. 4 jobs are kept under the name {purged.pseudonym}")
    _stays(person, purged.pseudonym, states)


def _stays(person: User, pseudonym: str, states: dict[int, str]) -> None:
    assert pseudonym.startswith("purged-")
    user = User.objects.get(pk=person.pk)
    assert (user.username, user.is_active, user.has_usable_password()) == (pseudonym, False, False)
    now = dict(Job.objects.filter(user=user).values_list("pk", "state"))
    assert now.keys() == states.keys()
    over = {"finished", "cancelled"}
    assert set(now.values()) == over
    assert all(now[pk] == state for pk, state in states.items() if state in over)
    entry = AuditEntry.objects.order_by("-id").first()
    assert (entry.username, entry.action) == ("owner", "user-purged")
    assert entry.request["name"] == pseudonym
    friend = AuditEntry.objects.get(action="submitted", username="other")
    assert NAME in friend.request["source"]  # what others wrote stays theirs
    assert not Purge.objects.exists()


@pytest.mark.once  # SQLite's files
def test_the_files_of_the_database_hold_nothing_either(person: User) -> None:
    path = Path(connection.settings_dict["NAME"])
    purging.purge.get()(NAME, "owner")
    for ending in ("", "-wal"):
        content = Path(f"{path}{ending}").read_bytes() if Path(f"{path}{ending}").exists() else b""
        assert found_in(content) == [], ending


@pytest.mark.hardening
@pytest.mark.parametrize("step", range(1, 21))
def test_it_can_be_killed_anywhere_and_done_again(
    step: int, person: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`step`: the commit before which it is killed. After each, nothing is wrong."""
    killed = _kill_at(step, monkeypatch)
    with contextlib.suppress(KeyboardInterrupt):
        purging.purge.get()(NAME, "owner")
    monkeypatch.undo()
    if not killed:  # it has fewer steps, and is done
        assert step > 8
        return
    assert invariants.violations() == []
    if not AuditEntry.objects.filter(action="user-purged").exists():
        purging.purge.get()(NAME, "owner")
    assert found_in(rows()) == []
    assert found_in(audit_log.read_bytes()) == []
    assert invariants.violations() == []
    assert AuditEntry.objects.filter(action="user-purged").count() == 1
    names = User.objects.filter(username__startswith="purged-").values_list("username", flat=True)
    assert len(names) == 1
    others = AuditEntry.objects.filter(username__startswith="purged-").values_list("username")
    assert {name for (name,) in others} <= set(names)


def _kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stops with what no `except Exception` catches, before the commit of that number."""
    count, killed = iter(range(1, 10_000)), []
    wrapper = type(connections["default"])
    real = wrapper._commit

    def _commit(self: Any) -> None:
        if next(count) == step:
            killed.append(step)
            self._rollback()
            raise KeyboardInterrupt
        real(self)

    monkeypatch.setattr(wrapper, "_commit", _commit)
    return killed


def test_late_reports_of_what_ran_bring_nothing_back(person: User, gpu1: Executor) -> None:
    attempt = Attempt.objects.open().get()
    purging.purge.get()(NAME, "owner")
    logs = {"execute_log": TEXT.encode()}
    for late in (
        lambda: reporting.release(gpu1, attempt.pk, attempt.lease_token, "late", logs),
        lambda: reporting.keep_file(gpu1, attempt.pk, attempt.lease_token, "a", TEXT.encode()),
        lambda: reporting.finish(
            gpu1, attempt.pk, attempt.lease_token, reporting.Result("succeeded", **logs)
        ),
    ):
        with pytest.raises(Problem):
            late()
    assert found_in(rows()) == []


def test_nobody_can_submit_under_the_account_afterwards(person: User) -> None:
    purging.purge.get()(NAME, "owner")
    with pytest.raises(Problem, match="deleted or disabled"):
        submitting.submit(person, Submission("x"))


def test_a_job_of_theirs_cannot_run_again(person: User) -> None:
    job = Job.objects.filter(user=person).first()
    purging.purge.get()(NAME, "owner")
    with pytest.raises(Problem, match="no longer kept"):
        staff.requeue(job.pk, "owner")


def test_whose_account_was_deleted_can_be_purged_too(
    alice: User, gpu1: Executor, audit_log: Path
) -> None:
    submit(alice, source=f"// {TEXT}\n")
    run(gpu1)
    operations.delete(alice, "ta")
    assert TEXT in audit_log.read_text()
    purged = purging.purge.get()("alice", "owner")
    assert "alice" not in rows()
    assert "alice" not in audit_log.read_text()
    assert TEXT not in audit_log.read_text()
    assert "0 jobs" in purged.words
    assert invariants.violations() == []


def test_a_name_in_a_longer_one_is_another_persons(alice: User, audit_log: Path) -> None:
    for name in ("alice.b", "alice2", "malice"):
        operations.create_user(name, "alice")
    purging.purge.get()("alice", "owner")
    told = [entry.request["name"] for entry in AuditEntry.objects.filter(action="user-created")]
    assert sorted(told) == ["alice.b", "alice2", "malice"]
    names = User.objects.values_list("username", flat=True)
    assert {"alice.b", "alice2", "malice"} <= set(names)


@pytest.mark.parametrize("name", ["zo\u00eb", "a_b", "x.y+z@w-1", "\u674e\u96f7"])
def test_names_of_all_kinds(name: str, audit_log: Path) -> None:
    user, _ = operations.create_user(name, "ta")
    job = submit(user)
    cancelling.cancel(job.pk, name)
    staff.requeue(job.pk, "ta")
    purging.purge.get()(name, "owner")
    assert name not in rows()
    assert json.dumps(name)[1:-1] not in rows()
    assert json.dumps(name)[1:-1] not in audit_log.read_text()
    assert invariants.violations() == []


def test_who_had_the_name_before_or_has_it_since_is_somebody_else(alice: User) -> None:
    """alice becomes alicia; another one is called alice from then on."""
    submit(alice)
    alice.username = "alicia"
    alice.save()
    again, _ = operations.create_user("alice", "ta")
    submit(again)
    purging.purge.get()("alicia", "owner")
    submitted = AuditEntry.objects.filter(action="submitted").order_by("id")
    assert [entry.username for entry in submitted][1] == "alice"
    assert submitted[0].username.startswith("purged-")
    assert submitted[1].request["source"]
    assert AuditEntry.objects.get(action="user-created").request["name"] == "alice"


@pytest.mark.parametrize("name", ["nobody", "system", "command", "executor:gpu1", "purged-1", ""])
def test_who_is_no_person_is_refused(name: str, gpu1: Executor, capsys: Any) -> None:
    with pytest.raises(CommandError):
        call_command("telerun_auth", "purge-user", name, "--yes")
    assert not AuditEntry.objects.exists()


def test_a_command_asks_for_the_name(alice: User) -> None:
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("telerun_auth", "purge-user", "alice")
    assert User.objects.get(pk=alice.pk).username == "alice"


def test_the_command_says_what_remains(
    alice: User, audit_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("20260101T000000000000", "1", "old.gz")
    old = [audit_log.with_name(f"{audit_log.name}.{name}") for name in names]
    for path in old:
        path.write_text("an old one\n")
    call_command("telerun_auth", "purge-user", "alice", "--yes")
    told = capsys.readouterr().out
    assert "Backups" in told
    assert all(path.name in told for path in old)
    assert "alice" not in told


def test_each_servers_file_is_written_anew(person: User, audit_log: Path, settings: Any) -> None:
    """On PostgreSQL each of several servers has its own file."""
    other = audit_log.with_name("other.jsonl")
    settings.TELERUN_AUDIT_LOG = other
    file.follow()
    assert found_in(other.read_bytes())
    settings.TELERUN_AUDIT_LOG = audit_log
    purging.purge.get()(NAME, "owner")
    settings.TELERUN_AUDIT_LOG = other
    file.follow(set_aside=True)  # as that server starts, or a while later
    assert found_in(other.read_bytes()) == []
    assert other.read_bytes() == audit_log.read_bytes()
    assert not list(other.parent.glob("other.jsonl.2*"))


def test_who_writes_waits_for_the_new_file(person: User, audit_log: Path) -> None:
    """A follower that had opened the old file appends to the new one."""
    waits = file.opened(audit_log, 0o2)
    purging.purge.get()(NAME, "owner")
    waits.close()
    with transaction.atomic():
        audit.record(Entry("owner", "tested"))
    lines = [json.loads(line)["id"] for line in audit_log.read_text().splitlines()]
    assert lines == list(range(1, len(lines) + 1))
    assert invariants.violations() == []


def test_a_full_disk_leaves_it_unfinished_and_says_so(
    person: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_write_anew", full)
    with pytest.raises(purging.Unfinished, match="written anew"):
        purging.purge.get()(NAME, "owner")
    monkeypatch.undo()
    assert Purge.objects.count() == 1
    purging.purge.get()(NAME, "owner")
    assert found_in(audit_log.read_bytes()) == []


def test_output_files_and_codes_are_gone(person: User) -> None:
    assert OutputFile.objects.exists()
    purging.purge.get()(NAME, "owner")
    assert not OutputFile.objects.exists()
    assert not LoginCode.objects.filter(user=person).exists()


def test_whatever_refers_to_a_user_is_found() -> None:
    """A table that is added later is found, unless somebody says that it stays."""
    models = {model._meta.label for model, _ in purging._referring()}
    assert {
        "jobs.Job",
        "accounts.Turn",
        "accounts.LoginCode",
        "pages.Session",
        "pages.Link",
    } <= models
    assert {"admin.LogEntry"} <= models
    stay = {model._meta.label for model in purging._stay}
    assert stay == {"jobs.Job", "jobs.Kept", "accounts.Turn"}


@pytest.mark.parametrize("moment", ["replace", "rename"])
def test_it_can_be_killed_while_the_file_is_written_anew(
    moment: str, person: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    real = os.replace

    def renamed(*paths: Any) -> None:
        real(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed if moment == "replace" else renamed)
    with pytest.raises(KeyboardInterrupt):
        purging.purge.get()(NAME, "owner")
    monkeypatch.undo()
    assert invariants.violations() == []
    assert found_in(audit_log.read_bytes()) == []
    purging.purge.get()(NAME, "owner")
    assert found_in(rows()) == []
    assert invariants.violations() == []


def test_the_last_owner_stays(person: User) -> None:
    """Even by the command: somebody must be left who can appoint staff."""
    person.set_password("correct horse battery")
    person.save()
    roles.assign(person, roles.Role.OWNER)
    with pytest.raises(ValidationError, match="the last owner"):
        purging.purge.get()(NAME, "command")
    assert User.objects.filter(username=NAME).exists()
