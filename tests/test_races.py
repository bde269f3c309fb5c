"""Two who act on the same job at the same moment, in both orders, each order forced.

The first is held inside its transaction, all its writes done, until the second has looked at
the job as it was and stands before the first's lock (or went round it). Only then does the
first commit.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import executors, platforms
from accounts.models import Executor, User
from accounts.platforms import Service
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import (
    audit,
    cancelling,
    claiming,
    errors,
    invariants,
    leases,
    reporting,
    retention,
    submitting,
)
from jobs.models import Attempt, AuditEntry, Job
from jobs.reporting import Result
from jobs.staff import requeue
from jobs.states import Ending, State
from jobs.submitting import Submission
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Action = Callable[[], Any]
PATIENCE = 30


class Overlap:
    """Runs two actions in threads named "first" and "second", held as the module says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._written = threading.Event()  # the first has done its writes
        self._commit = threading.Event()  # and may commit them
        self._begun = threading.Event()  # the second is past what it reads beforehand
        self._results: dict[str, Any] = {}
        record, enter = audit.record, transaction.Atomic.__enter__

        def recorded(*entries: audit.Entry) -> None:
            record(*entries)
            if threading.current_thread().name == "first":
                self._written.set()
                assert self._commit.wait(PATIENCE)

        def entered(atomic: transaction.Atomic) -> None:
            if threading.current_thread().name == "second":
                self._begun.set()
            enter(atomic)

        monkeypatch.setattr(audit, "record", recorded)
        monkeypatch.setattr(transaction.Atomic, "__enter__", entered)

    def __call__(self, first: Action, second: Action) -> tuple[Any, Any]:
        """What the two return, or the Problem they raise."""
        one, two = self._start("first", first), None
        assert self._written.wait(PATIENCE), "the first never came to its commit"
        two = self._start("second", second)
        wait_for(lambda: not two.is_alive() or self._is_blocked(), "the second is at the lock")
        self._commit.set()
        for thread in (one, two):
            thread.join(PATIENCE)
            assert not thread.is_alive()
        return self._results["first"], self._results["second"]

    def _start(self, name: str, action: Action) -> threading.Thread:
        def run() -> None:
            try:
                self._results[name] = action()
            except Exception as error:
                self._results[name] = error
            finally:
                connection.close()

        thread = threading.Thread(target=run, name=name)
        thread.start()
        return thread

    def _is_blocked(self) -> bool:
        if connection.vendor == "sqlite":  # BEGIN IMMEDIATE is its first statement
            return self._begun.is_set()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return cursor.fetchone()[0] > 0


@pytest.fixture
def overlap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Overlap]:
    """The invariants hold after every race."""
    yield Overlap(monkeypatch)
    monkeypatch.undo()
    assert invariants.violations() == []


@pytest.fixture
def queued(alice: User) -> Job:
    return submitting.submit(alice, Submission("source"))[0]


@pytest.fixture
def running(queued: Job, gpu1: Executor) -> Attempt:
    attempt = claiming.claim(gpu1)
    assert attempt
    return attempt


def finish(attempt: Attempt, log: bytes = b"") -> Job:
    result = Result("succeeded", execute_log=log)
    return reporting.finish(attempt.executor, attempt.pk, attempt.lease_token, result)


def release(attempt: Attempt) -> Job:
    return reporting.release(attempt.executor, attempt.pk, attempt.lease_token, "stopped")


def ends(job_id: int) -> list[str]:
    entries = AuditEntry.objects.filter(job_id=job_id, action__in=("finished", "cancelled"))
    return list(entries.values_list("action", flat=True))


def run_out(attempt: Attempt) -> None:
    past = timezone.now() - timedelta(seconds=1)
    Attempt.objects.filter(pk=attempt.pk).update(lease_expires_at=past)


# --- Claim against claim: a turn is one job of each user -----------------------------------


@pytest.fixture
def two_and_one(alice: User, bob: User, settings: Any) -> dict[str, list[int]]:
    """Two jobs of alice's wait, then one of bob's."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 2
    users = (alice, alice, bob)
    ids = [submitting.submit(user, Submission(f"source {n}"))[0].pk for n, user in enumerate(users)]
    return {"alice": ids[:2], "bob": ids[2:]}


def test_a_user_who_is_being_served_is_passed_over(
    overlap: Overlap, two_and_one: dict[str, list[int]], gpu1: Executor, gpu2: Executor
) -> None:
    first, second = overlap(lambda: claiming.claim(gpu1), lambda: claiming.claim(gpu2))
    assert [first.job_id, second.job_id] == [two_and_one["alice"][0], two_and_one["bob"][0]]
    third = claiming.claim(gpu1)
    assert third.job_id == two_and_one["alice"][1]


def test_a_turn_that_ended_since_the_candidates_were_read_is_not_served_again(
    two_and_one: dict[str, list[int]],
    gpu1: Executor,
    gpu2: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other order: the first claim is committed between the second one's two steps."""
    read, committed = threading.Event(), threading.Event()
    free_user = claiming._FREE_USER

    class Held:
        """Between the two steps of the second."""

        def first(self, **values: Any) -> User | None:
            if threading.current_thread().name == "second":
                read.set()
                assert committed.wait(PATIENCE)
            return free_user.first(**values)

    results: list[Attempt | None] = []

    def second() -> None:
        results.append(claiming.claim(gpu2))
        connection.close()

    monkeypatch.setattr(claiming, "_FREE_USER", Held())
    thread = threading.Thread(target=second, name="second")
    if connection.vendor == "sqlite":  # one writer at a time: there is nothing between the steps
        first = claiming.claim(gpu1)
        committed.set()
        thread.start()
    else:
        thread.start()
        assert read.wait(PATIENCE)
        first = claiming.claim(gpu1)
        committed.set()
    thread.join(PATIENCE)
    assert first.job_id == two_and_one["alice"][0]
    assert [attempt.job_id for attempt in results] == two_and_one["bob"]
    assert invariants.violations() == []


def test_what_was_passed_over_is_announced(
    overlap: Overlap,
    two_and_one: dict[str, list[int]],
    gpu1: Executor,
    gpu2: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An executor that passed over the only user is woken when that user's turn is over."""
    cancelling.cancel(two_and_one["bob"][0], "ta")
    announced: list[int] = []
    monkeypatch.setattr(
        waiting, "announce", lambda job, platform=None: platform and announced.append(job)
    )
    _, second = overlap(lambda: claiming.claim(gpu1), lambda: claiming.claim(gpu2))
    assert two_and_one["alice"][1] in announced
    second = second or claiming.claim(gpu2)
    assert second.job_id == two_and_one["alice"][1]


# --- Platforms ---------------------------------------------------------------------------


@pytest.fixture
def one_each(alice: User, gpu1: Executor, gpu2: Executor, settings: Any) -> dict[str, Service]:
    """Two jobs of alice's wait, for a platform each; an executor for each platform."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 5
    services = {}
    for executor, name in ((gpu1, "h100"), (gpu2, "cpu")):
        executors.seen(executor, {"offers": {name: 1}, "languages": ["cuda", "cpp"]})
        submitting.submit(alice, Submission("x", "a.cpp", platform=name))
        services[name] = platforms.service(executor, {name: 1}, ["cuda", "cpp"])
    return services


@pytest.mark.parametrize(("first", "second"), [("h100", "cpu"), ("cpu", "h100")])
def test_who_passed_over_a_user_on_another_platform_is_told_of_what_waits(
    overlap: Overlap,
    one_each: dict[str, Service],
    gpu1: Executor,
    gpu2: Executor,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    second: str,
) -> None:
    """A claim of the same user's job for other hardware: no host sleeps while a job waits."""
    told: list[str] = []
    monkeypatch.setattr(
        waiting, "announce", lambda job, platform=None: platform and told.append(platform)
    )
    executor = {"h100": gpu1, "cpu": gpu2}

    def claim(name: str) -> Attempt | None:
        return claiming.claim(executor[name], service=one_each[name])

    one, two = overlap(lambda: claim(first), lambda: claim(second))
    assert one.job.platform == first
    assert two is not None or second in told
    two = two or claim(second)
    assert two.job.platform == second


def test_who_passed_over_a_user_that_submits_is_told_of_what_waits(
    overlap: Overlap,
    one_each: dict[str, Service],
    alice: User,
    gpu1: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        waiting, "announce", lambda job, platform=None: platform and told.append(platform)
    )
    new, claimed = overlap(
        lambda: submitting.submit(alice, Submission("x", "a.cpp", platform="cpu")),
        lambda: claiming.claim(gpu1, service=one_each["h100"]),
    )
    assert new[0].platform == "cpu"
    assert claimed is not None or "h100" in told


def test_a_submission_that_comes_just_after_a_claim_of_its_owner_waits_behind(
    overlap: Overlap, one_each: dict[str, Service], alice: User, gpu1: Executor
) -> None:
    """It carries the turn that the claim gave its owner, on that platform alone."""
    attempt, new = overlap(
        lambda: claiming.claim(gpu1, service=one_each["h100"]),
        lambda: submitting.submit(alice, Submission("x", "a.cpp", platform="h100")),
    )
    assert new[0].turn == attempt.pk
    assert Job.objects.get(platform="cpu").turn == 0


# --- Result against sweep ----------------------------------------------------------------


def test_the_result_comes_just_before_the_sweep(overlap: Overlap, running: Attempt) -> None:
    run_out(running)
    job, swept = overlap(lambda: finish(running), leases.expire)
    assert (job.state, swept) == (State.FINISHED, 0)
    assert ends(job.pk) == ["finished"]


def test_the_sweep_comes_just_before_the_result(overlap: Overlap, running: Attempt) -> None:
    run_out(running)
    swept, refused = overlap(leases.expire, lambda: finish(running))
    assert swept == 1
    assert isinstance(refused, errors.LeaseLost)
    running.refresh_from_db()
    assert (running.ending, running.job.state) == (Ending.EXPIRED, State.QUEUED)


def test_a_heartbeat_just_after_the_sweep_is_too_late(overlap: Overlap, running: Attempt) -> None:
    run_out(running)
    swept, refused = overlap(
        leases.expire,
        lambda: reporting.heartbeat(running.executor, running.pk, running.lease_token, "executing"),
    )
    assert (swept, type(refused)) == (1, errors.LeaseLost)


def test_two_sweeps_take_a_job_back_once(overlap: Overlap, running: Attempt) -> None:
    run_out(running)
    assert overlap(leases.expire, leases.expire) == (1, 0)
    assert AuditEntry.objects.filter(action="requeued").count() == 1


def test_a_release_and_the_sweep_give_the_job_back_once(overlap: Overlap, running: Attempt) -> None:
    run_out(running)
    job, swept = overlap(lambda: release(running), leases.expire)
    assert (job.state, swept) == (State.QUEUED, 0)
    assert Job.objects.get().attempts_left == 2


# --- Two results -------------------------------------------------------------------------


def test_the_same_result_twice_at_once_is_one(overlap: Overlap, running: Attempt) -> None:
    one, two = overlap(lambda: finish(running), lambda: finish(running))
    assert (one.state, two.state) == (State.FINISHED, State.FINISHED)
    assert ends(one.pk) == ["finished"]


def test_of_two_results_at_once_the_first_counts(overlap: Overlap, running: Attempt) -> None:
    _, refused = overlap(lambda: finish(running, b"one"), lambda: finish(running, b"two"))
    assert isinstance(refused, errors.ResultConflict)
    assert bytes(Attempt.objects.get().execute_log) == b"one"


# --- Cancel against finish, and against claim --------------------------------------------


def test_the_cancel_comes_just_before_the_result(overlap: Overlap, running: Attempt) -> None:
    """The work was done when the cancel was asked for: its result counts."""
    asked, job = overlap(
        lambda: cancelling.cancel(running.job_id, "alice"), lambda: finish(running)
    )
    assert (asked.state, job.state) == (State.RUNNING, State.FINISHED)
    assert ends(job.pk) == ["finished"]


def test_the_result_comes_just_before_the_cancel(overlap: Overlap, running: Attempt) -> None:
    job, refused = overlap(
        lambda: finish(running), lambda: cancelling.cancel(running.job_id, "alice")
    )
    assert job.state == State.FINISHED
    assert isinstance(refused, errors.AlreadyOver)
    assert ends(job.pk) == ["finished"]


def test_the_cancel_comes_just_before_the_claim(
    overlap: Overlap, queued: Job, gpu1: Executor
) -> None:
    job, attempt = overlap(
        lambda: cancelling.cancel(queued.pk, "alice"), lambda: claiming.claim(gpu1)
    )
    assert (job.state, attempt) == (State.CANCELLED, None)


def test_the_claim_comes_just_before_the_cancel(
    overlap: Overlap, queued: Job, gpu1: Executor
) -> None:
    attempt, job = overlap(
        lambda: claiming.claim(gpu1), lambda: cancelling.cancel(queued.pk, "alice")
    )
    assert attempt.job_id == job.pk
    assert (job.state, job.cancel_requested_at is None) == (State.RUNNING, False)
    assert release(attempt).state == State.CANCELLED


def test_a_job_is_cancelled_once(overlap: Overlap, queued: Job) -> None:
    _, refused = overlap(
        lambda: cancelling.cancel(queued.pk, "alice"), lambda: cancelling.cancel(queued.pk, "ta")
    )
    assert isinstance(refused, errors.AlreadyOver)
    assert ends(queued.pk) == ["cancelled"]


# --- Replace against claim, two submissions ----------------------------------------------


def replace(user: User) -> Job:
    return submitting.submit(user, Submission("better"), replace=True)[0]


def test_the_replacement_comes_just_before_the_claim(
    overlap: Overlap, queued: Job, alice: User, gpu1: Executor
) -> None:
    better, attempt = overlap(lambda: replace(alice), lambda: claiming.claim(gpu1))
    queued.refresh_from_db()
    assert queued.state == State.CANCELLED
    assert not queued.attempts.exists()
    attempt = attempt or claiming.claim(gpu1)
    assert attempt.job_id == better.pk


def test_the_claim_comes_just_before_the_replacement(
    overlap: Overlap, queued: Job, alice: User, gpu1: Executor
) -> None:
    attempt, better = overlap(lambda: claiming.claim(gpu1), lambda: replace(alice))
    queued.refresh_from_db()
    assert (attempt.job_id, queued.state, better.state) == (queued.pk, "running", "queued")
    assert better.turn == attempt.pk  # alice was served: the better one goes behind everyone


def test_one_submission_sent_twice_at_once_is_one_job(overlap: Overlap, alice: User) -> None:
    def submit() -> tuple[Job, bool]:
        return submitting.submit(alice, Submission("source"), "key")

    (one, new), (two, new_again) = overlap(submit, submit)
    assert (one.pk, new, new_again) == (two.pk, True, False)
    assert Job.objects.count() == 1


def test_two_submissions_at_once_do_not_both_fit(overlap: Overlap, alice: User) -> None:
    def submit() -> Any:
        return submitting.submit(alice, Submission("source"))

    _, refused = overlap(submit, submit)
    assert isinstance(refused, errors.PendingJob)


# --- Two claims --------------------------------------------------------------------------


def test_two_claims_of_one_job(
    overlap: Overlap, queued: Job, gpu1: Executor, gpu2: Executor
) -> None:
    attempt, nothing = overlap(lambda: claiming.claim(gpu1), lambda: claiming.claim(gpu2))
    assert (attempt.job_id, nothing) == (queued.pk, None)
    assert Attempt.objects.count() == 1


def test_two_claims_of_two_jobs(
    overlap: Overlap, queued: Job, bob: User, gpu1: Executor, gpu2: Executor
) -> None:
    other, _ = submitting.submit(bob, Submission("source"))
    one, two = overlap(lambda: claiming.claim(gpu1), lambda: claiming.claim(gpu2))
    assert (one.job_id, two.job_id) == (queued.pk, other.pk)


def test_one_claim_sent_twice_at_once_is_one_attempt(
    overlap: Overlap, queued: Job, bob: User, gpu1: Executor
) -> None:
    submitting.submit(bob, Submission("source"))
    one, two = overlap(lambda: claiming.claim(gpu1, "key"), lambda: claiming.claim(gpu1, "key"))
    assert one == two
    assert Attempt.objects.count() == 1


# --- Staff -------------------------------------------------------------------------------


def test_staff_requeue_just_before_the_result(overlap: Overlap, running: Attempt) -> None:
    job, refused = overlap(lambda: requeue(running.job_id, "ta"), lambda: finish(running))
    assert job.state == State.QUEUED
    assert isinstance(refused, errors.LeaseLost)


def test_the_result_comes_just_before_staff_requeue(overlap: Overlap, running: Attempt) -> None:
    _, job = overlap(lambda: finish(running), lambda: requeue(running.job_id, "ta"))
    running.refresh_from_db()
    assert (job.state, running.ending) == (State.QUEUED, Ending.SUPERSEDED)


def test_an_old_job_is_requeued_as_it_is_pruned(overlap: Overlap, running: Attempt) -> None:
    finish(running)
    later = timezone.now() + timedelta(hours=1)
    job, pruned = overlap(
        lambda: requeue(running.job_id, "ta"), lambda: retention.prune(later, "ta")
    )
    assert (job.state, pruned) == (State.QUEUED, 0)


def test_an_old_job_is_pruned_as_it_is_requeued(overlap: Overlap, running: Attempt) -> None:
    finish(running)
    later = timezone.now() + timedelta(hours=1)
    pruned, refused = overlap(
        lambda: retention.prune(later, "ta"), lambda: requeue(running.job_id, "ta")
    )
    assert (pruned, type(refused)) == (1, NotFound)
