"""What the operator can prove and keep: check, backup and restore, prune. Real commands."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from accounts import operations as account_operations
from accounts.models import Executor, User
from foundation.database import backup
from jobs import cancelling, claiming, invariants, leases, reporting, retention, submitting
from jobs.models import Attempt, AuditCounter, AuditEntry, Job
from jobs.reporting import Result
from jobs.staff import requeue
from jobs.submitting import Submission
from tests.support.processes import World
from tests.support.stubs import fake_nvcc

pytestmark = pytest.mark.django_db(transaction=True)


def live(user: User, executor: Executor, times: int = 1) -> None:
    """Whole lives of jobs: submitted, claimed, finished."""
    for _ in range(times):
        submitting.submit(user, Submission("source"))
        attempt = claiming.claim(executor)
        assert attempt
        reporting.finish(executor, attempt.pk, attempt.lease_token, Result("succeeded"))


def every_state(user: User, executor: Executor) -> None:
    live(user, executor, 2)
    requeue(Job.objects.order_by("id")[0].pk, "ta")
    cancelling.cancel(Job.objects.order_by("id")[0].pk, "ta")
    submitting.submit(user, Submission("a"))
    submitting.submit(user, Submission("b"), replace=True)
    attempt = claiming.claim(executor)
    assert attempt
    reporting.release(executor, attempt.pk, attempt.lease_token, "why not")
    for _ in range(2):
        claiming.claim(executor)
        leases.expire(timezone.now() + timedelta(hours=1))
    submitting.submit(user, Submission("c"))
    claiming.claim(executor)
    submitting.submit(user, Submission("d"))
    assert set(Job.objects.values_list("state", flat=True)) == {
        "queued", "running", "finished", "cancelled", "failed",
    }  # fmt: skip


def test_all_is_well_in_every_state(alice: User, gpu1: Executor) -> None:
    every_state(alice, gpu1)
    assert invariants.violations() == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda: Attempt.objects.open().delete(), "is running with 0 open attempts"),
        (lambda: Attempt.objects.filter(ending="finished").delete(), "is finished with 0 results"),
        (lambda: Attempt.objects.filter(ending="expired", number=2).delete(), "2 attempts, the la"),
        (lambda: Job.objects.filter(state="queued").delete(), "was submitted and is gone"),
        (
            lambda: Job.objects.filter(state="finished").update(outcome="runtime_error"),
            "but its re",
        ),
        (
            lambda: AuditEntry.objects.filter(action="submitted")[0].delete(),
            "no audit entry of its",
        ),
        (lambda: AuditEntry.objects.filter(action="finished")[0].delete(), "audit entries end it"),
        (lambda: AuditEntry.objects.filter(action="claimed")[0].delete(), "The audit table has"),
        (lambda: AuditCounter.objects.update(last_id=99), "but the counter says 99"),
    ],
)
def test_check_names_what_is_wrong_in_the_database(
    damage: Callable[[], object], words: str, alice: User, gpu1: Executor
) -> None:
    every_state(alice, gpu1)
    damage()
    assert any(words in fault for fault in invariants.violations()), invariants.violations()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:1] + lines[2:], "Line 2 of"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "Line 1 of"),
        (lambda lines: [*lines[:2], b"nonsense\n", *lines[3:]], "not an entry"),
        (lambda lines: [lines[0].replace(b"source", b"forged"), *lines[1:]], "Line 1 of"),
    ],
)
def test_check_names_what_is_wrong_in_the_file(
    damage: Callable[[list[bytes]], list[bytes]],
    words: str,
    audit_log: Path,
    alice: User,
    gpu1: Executor,
) -> None:
    live(alice, gpu1, 3)
    audit_log.write_bytes(b"".join(damage(audit_log.read_bytes().splitlines(keepends=True))))
    assert any(words in fault for fault in invariants.violations()), invariants.violations()


def test_jobs_that_were_deleted_are_accounted_for(alice: User, bob: User, gpu1: Executor) -> None:
    live(alice, gpu1, 2)
    live(bob, gpu1)
    account_operations.delete(alice, "ta")
    assert Job.objects.count() == 1
    entry = AuditEntry.objects.get(action="jobs-deleted")
    assert entry.request["reason"] == "user alice was deleted"
    assert len(entry.request["jobs"]) == 2
    assert invariants.violations() == []
    retention.reset_submissions("ta")
    assert invariants.violations() == []


def test_prune_takes_what_was_over_long_ago_and_nothing_else(
    audit_log: Path, alice: User, gpu1: Executor
) -> None:
    every_state(alice, gpu1)
    before = audit_log.read_bytes()
    open_jobs = set(Job.objects.filter(finished_at=None).values_list("pk", flat=True))
    old = Job.objects.filter(state="finished").latest("id")
    Job.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=8))
    assert retention.prune(timezone.now() - timedelta(days=7), "ta") == 1
    assert not Job.objects.filter(pk=old.pk).exists()
    assert not Attempt.objects.filter(job_id=old.pk).exists()
    assert retention.prune(timezone.now(), "ta", batch=2) > 2
    assert set(Job.objects.values_list("pk", flat=True)) == open_jobs
    assert audit_log.read_bytes().startswith(before)
    assert invariants.violations() == []


# --- With real processes -----------------------------------------------------------------


@pytest.mark.end_to_end
def test_backup_while_the_server_runs_and_restore(world: World) -> None:
    """A copy under way while jobs come and go; the server then starts from it, and all is well."""
    users = world.users(8)
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder), execute=2)
    file = world.source("echo kept")
    assert world.submit(users[0], file).status == 0
    clients = [world.start_submit(user, file) for user in users]
    copy = world.folder / "copy"
    told = world.manage("telerun_db", "backup", copy).out
    assert str(copy) in told
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [client.popen.wait(60) for client in clients] == [0] * 8
    again = world.manage("telerun_db", "backup", copy, check=False).no_traceback()
    assert (again.status, "is there already" in again.err) == (1, True)
    for process in reversed(world.processes):
        process.stop()

    restore(world, copy)
    world.start_server()
    assert world.manage("telerun_db", "check").out.startswith("All is well")
    status, _, job = world.request(users[0], "GET", "/jobs/1")
    assert (status, job["result"]["execute_log"]) == (200, "kept\n")
    kept = [p for p in world.data.iterdir() if p.name.startswith("audit_log.jsonl.")]
    ids = [line["id"] for line in world.audit_lines()]
    assert ids == list(range(1, len(ids) + 1))
    assert len(kept) <= 1  # the file that went on after the copy was made


def restore(world: World, copy: Path) -> None:
    """As docs/operators.md says."""
    url = world.environment.get("DATABASE_URL")
    if not url:
        for left in ("db.sqlite3-wal", "db.sqlite3-shm"):
            (world.data / left).unlink(missing_ok=True)
        shutil.copy(copy, world.data / "db.sqlite3")
        return
    argv = ["pg_restore", "--clean", "--if-exists", "--dbname", url, str(copy)]
    subprocess.run(argv, check=True, env={**os.environ})


@pytest.mark.end_to_end
def test_check_of_the_command_ends_with_1_and_a_line_a_fault(world: World) -> None:
    world.user("alice")
    (world.data / "audit_log.jsonl").write_text("nonsense\n{}\n" * 3)
    done = world.manage("telerun_db", "check").no_traceback()
    assert done.status == 0  # torn lines at the end of the file are mended first
    lines = (world.data / "audit_log.jsonl").read_text().splitlines(keepends=True)
    (world.data / "audit_log.jsonl").write_text(lines[0].replace("alice", "mallory"))
    done = world.manage("telerun_db", "check", check=False).no_traceback()
    assert done.status == 1
    assert "Line 1 of" in done.err
    assert "1 violation." in done.err


@pytest.mark.once
def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(backup.BackupFailed, match="cannot be written"):
        backup.write(tmp_path / "no" / "folder")
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(tmp_path / "not there")
    try:
        with pytest.raises(backup.BackupFailed):
            backup.write(tmp_path / "copy")
    finally:
        connection.settings_dict["NAME"] = name
    assert list(tmp_path.iterdir()) == []
