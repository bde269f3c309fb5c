"""Results of one user that come at the same moment: counted exactly, and no more goes than must."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.models import Executor, User
from jobs import claiming, invariants, quota, reporting, retention, submitting
from jobs.kept import counting
from jobs.models import Attempt, AuditEntry, Job, Kept, OutputFile
from jobs.reporting import Result
from jobs.staff import requeue
from jobs.submitting import Submission

pytestmark = pytest.mark.django_db(transaction=True)
KB = 1024


@pytest.fixture(autouse=True)
def small(settings: Any) -> Any:
    settings.TELERUN_USER_QUOTA_BYTES = 100 * KB
    settings.TELERUN_MAX_QUEUED_PER_USER = 50
    settings.TELERUN_SUBMITS_PER_MINUTE = 0
    counting.noticed.clear()
    return settings


def at_once(*actions: Callable[[], None]) -> None:
    """All of them, each in a thread of its own, begun together. None may fail."""
    begin, failed = threading.Barrier(len(actions)), []

    def run(action: Callable[[], None]) -> None:
        begin.wait(30)
        try:
            action()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def claimed(user: User, host: Executor) -> Attempt:
    submitting.submit(user, Submission("int main() {}\n"))
    attempt = claiming.claim(host)
    assert attempt
    return attempt


def reported(host: Executor, attempt: Attempt, size: int) -> Callable[[], None]:
    """Sends a file and the result, as a server does it."""

    def report() -> None:
        reporting.keep_file(host, attempt.pk, attempt.lease_token, "a", b"x" * size)
        quota.settle()
        details = {"files": [{"name": "a", "size": 1}]}
        result = Result("succeeded", execute_log=b"y" * 2 * KB, details=details)
        reporting.finish(host, attempt.pk, attempt.lease_token, result)
        quota.settle()

    return report


def test_results_at_once(alice: User, gpu1: Executor) -> None:
    for _ in range(4):
        at_once(*(reported(gpu1, claimed(alice, gpu1), 10 * KB) for _ in range(4)))
    quota.look_after()
    kept = Kept.objects.get(user=alice)
    assert 80 * KB < kept.sources + kept.logs + kept.files <= 100 * KB
    told = AuditEntry.objects.filter(action="files-removed")
    assert sum(entry.request["bytes"] for entry in told) + kept.files == 160 * KB, "each once"
    assert invariants.violations() == []


def test_room_is_made_twice_at_once(alice: User, gpu1: Executor, small: Any) -> None:
    small.TELERUN_USER_QUOTA_BYTES = 0
    for _ in range(12):
        reported(gpu1, claimed(alice, gpu1), 10 * KB)()
    small.TELERUN_USER_QUOTA_BYTES = 100 * KB
    at_once(*[lambda: quota.make_room(alice.pk)] * 4)
    quota.look_after()
    assert OutputFile.objects.count() == 7  # 12 logs, and a little more goes than must
    assert invariants.violations() == []


def test_room_is_made_while_others_delete_and_requeue(
    alice: User, gpu1: Executor, small: Any
) -> None:
    small.TELERUN_USER_QUOTA_BYTES = 0
    for _ in range(12):
        reported(gpu1, claimed(alice, gpu1), 10 * KB)()
    small.TELERUN_USER_QUOTA_BYTES = 50 * KB
    jobs = list(Job.objects.order_by("pk").values_list("pk", flat=True))
    Job.objects.filter(pk__in=jobs[2:5]).update(finished_at=timezone.now() - timedelta(days=9))
    later = reported(gpu1, claimed(alice, gpu1), 10 * KB)

    def requeue_some() -> None:
        for job in jobs[:2]:
            requeue(job, "ta")

    at_once(
        lambda: quota.make_room(alice.pk),
        lambda: quota.make_room(alice.pk),
        lambda: retention.prune(timezone.now() - timedelta(days=1), "ta") and None,
        requeue_some,
        later,
    )
    quota.look_after()
    assert invariants.violations() == []


def test_a_user_is_deleted_meanwhile(alice: User, gpu1: Executor, small: Any) -> None:
    small.TELERUN_USER_QUOTA_BYTES = 0
    for _ in range(12):
        reported(gpu1, claimed(alice, gpu1), 10 * KB)()
    small.TELERUN_USER_QUOTA_BYTES = 50 * KB
    at_once(lambda: quota.make_room(alice.pk), lambda: alice.delete() and None)
    assert not Kept.objects.exists()
    assert invariants.violations() == []


def test_a_database_that_is_busy_fails_no_result(
    alice: User, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported(gpu1, claimed(alice, gpu1), 60 * KB)()
    report = reported(gpu1, claimed(alice, gpu1), 60 * KB)

    def busy(_user: int) -> None:
        raise OperationalError("busy")

    with monkeypatch.context() as patched:
        patched.setattr(quota, "make_room", busy)
        report()
    assert Job.objects.filter(state="finished").count() == 2
    assert OutputFile.objects.count() == 2
    quota.look_after()  # the sweep comes back to it
    assert OutputFile.objects.count() == 1


def test_counting_anew_meanwhile(alice: User, gpu1: Executor) -> None:
    attempts = [claimed(alice, gpu1) for _ in range(4)]
    Kept.objects.update(files=10**9)
    at_once(
        *(reported(gpu1, attempt, 10 * KB) for attempt in attempts),
        *[lambda: retention.recount() and None] * 2,
    )
    assert invariants.violations() == []
