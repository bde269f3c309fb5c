"""What is done to jobs: each operation, its refusals, and its trace in the audit log."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import executors
from accounts.models import Executor, User
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import cancelling, claiming, errors, leases, reporting, retention, submitting, transitions
from jobs.models import Attempt, AuditEntry, Job
from jobs.reporting import Result
from jobs.staff import requeue
from jobs.states import Ending, State
from jobs.submitting import Submission

SOURCE = Submission("int main() { return 0; }")
GOOD = Result("succeeded", execute_log=b"hello\n", exit_code=0)


def submit(user: User, **more: object) -> Job:
    return submitting.submit(user, SOURCE, **more)[0]  # type: ignore[arg-type]


def claim(executor: Executor) -> Attempt:
    attempt = claiming.claim(executor)
    assert attempt is not None
    return attempt


def finish(attempt: Attempt, result: Result = GOOD) -> Job:
    assert attempt.executor
    return reporting.finish(attempt.executor, attempt.pk, attempt.lease_token, result)


def expire(attempt: Attempt) -> None:
    """Lets the lease run out, and sweeps."""
    leases.expire(timezone.now() + timedelta(hours=1))
    attempt.refresh_from_db()


def actions(job: Job) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(job_id=job.pk).order_by("id")
    return [(entry.username, entry.action) for entry in entries]


# --- Submitting --------------------------------------------------------------------------


def test_submit_queues_and_records_the_whole_source(alice: User) -> None:
    job = submit(alice)
    assert (job.state, job.queue_position, job.attempts_left) == (State.QUEUED, 1, 3)
    entry = AuditEntry.objects.get(job_id=job.pk)
    assert (entry.username, entry.action) == ("alice", "submitted")
    assert entry.request == {"source": SOURCE.source, "filename": "program.cu", "args": []}


def test_a_second_queued_job_is_refused_and_names_the_first(alice: User) -> None:
    job = submit(alice)
    with pytest.raises(errors.PendingJob, match=f"job {job.pk}.*--override-pending"):
        submit(alice)
    assert Job.objects.count() == 1


def test_the_number_of_queued_jobs_is_a_setting(alice: User, settings) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 2
    submit(alice)
    submit(alice)
    with pytest.raises(errors.PendingJob):
        submit(alice)


def test_a_running_job_does_not_block_submitting(alice: User, gpu1: Executor) -> None:
    submit(alice)
    claim(gpu1)
    assert submit(alice).state == State.QUEUED


def test_replacing_takes_the_queued_job_out_and_leaves_the_running_one(
    alice: User, gpu1: Executor
) -> None:
    running = submit(alice)
    claim(gpu1)
    old = submit(alice)
    new = submit(alice, replace=True)
    for job in (running, old, new):
        job.refresh_from_db()
    assert [j.state for j in (running, old, new)] == ["running", "cancelled", "queued"]
    assert actions(old) == [("alice", "submitted"), ("alice", "replaced")]


def test_the_same_key_is_the_same_job(alice: User, bob: User) -> None:
    job, new = submitting.submit(alice, SOURCE, "key")
    again, new_again = submitting.submit(alice, SOURCE, "key")
    assert (job.pk, new, new_again) == (again.pk, True, False)
    with pytest.raises(errors.IdempotencyKeyReused):
        submitting.submit(alice, Submission("other"), "key")
    assert submitting.submit(bob, SOURCE, "key")[0].pk != job.pk
    assert Job.objects.count() == 2


def test_a_source_over_the_limit_is_refused(alice: User, settings) -> None:
    settings.TELERUN_MAX_SOURCE_BYTES = 10
    with pytest.raises(errors.SourceTooLarge, match="12 bytes of UTF-8"):
        submitting.submit(alice, Submission("é" * 6))


# --- Fairness ----------------------------------------------------------------------------


def test_the_least_recently_served_user_comes_first(alice: User, bob: User, gpu1: Executor) -> None:
    submit(alice)
    finish(claim(gpu1))
    second = submit(alice)
    first = submit(bob)  # later, but bob was never served
    assert (first.queue_position, second.queue_position) == (1, 2)
    assert claim(gpu1).job_id == first.pk
    assert claim(gpu1).job_id == second.pk


def test_those_never_served_come_in_order_of_submission(make_user, gpu1: Executor) -> None:
    jobs = [submit(make_user(name)) for name in ("zoe", "adam", "mia")]
    assert [claim(gpu1).job_id for _ in jobs] == [job.pk for job in jobs]


def test_one_user_with_many_jobs_takes_turns_with_the_others(
    alice: User, bob: User, gpu1: Executor, settings
) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 10
    flood = [submit(alice) for _ in range(4)]
    others = [submit(bob) for _ in range(2)]
    order = [claim(gpu1).job_id for _ in range(6)]
    expected = [flood[0], others[0], flood[1], others[1], flood[2], flood[3]]
    assert order == [job.pk for job in expected]


def test_a_job_that_was_taken_back_does_not_go_to_the_end(
    alice: User, bob: User, gpu1: Executor
) -> None:
    lost = submit(alice)
    expired = claim(gpu1)
    submit(bob)
    expire(expired)
    assert claim(gpu1).job_id == lost.pk


# --- Claiming ----------------------------------------------------------------------------


def test_claim_leases_the_job(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    attempt = claim(gpu1)
    job.refresh_from_db()
    assert (job.state, job.phase, job.attempts_left) == (State.RUNNING, "compiling", 2)
    assert (attempt.number, attempt.executor_name) == (1, "gpu1")
    assert len(attempt.lease_token) >= 32
    left = (attempt.lease_expires_at - timezone.now()).total_seconds()
    assert 25 < left <= 30
    assert claiming.claim(gpu1) is None


def test_the_same_claim_key_is_the_same_attempt(alice: User, bob: User, gpu1, gpu2) -> None:
    submit(alice)
    submit(bob)
    attempt = claiming.claim(gpu1, "key")
    assert claiming.claim(gpu1, "key") == attempt
    assert claiming.claim(gpu2, "key") != attempt  # another executor's key is another key


def test_a_request_held_meanwhile_does_not_get_what_its_executor_gave_back(
    alice: User, gpu1: Executor, gpu2: Executor
) -> None:
    """The workers of a host without room would hand it on until no attempt is left."""
    asked_at = timezone.now() - timedelta(seconds=1)
    job = submit(alice)
    for executor in (gpu1, gpu2):
        attempt = claim(executor)
        reporting.release(executor, attempt.pk, attempt.lease_token, "no room")
        assert claiming.claim(executor, asked_at=asked_at) is None
    assert claiming.claim(gpu1, asked_at=timezone.now()).job_id == job.pk


def test_a_claim_key_is_free_again_when_its_attempt_is_over(
    alice: User, bob: User, gpu1: Executor
) -> None:
    first, second = submit(alice), submit(bob)
    attempt = claiming.claim(gpu1, "key")
    assert attempt is not None
    assert attempt.job_id == first.pk
    finish(attempt)
    again = claiming.claim(gpu1, "key")
    assert again is not None
    assert again.job_id == second.pk
    assert claiming.claim(gpu1, "key") == again


def test_a_disabled_executor_gets_nothing_but_may_finish(alice: User, gpu1: Executor) -> None:
    submit(alice)
    attempt = claim(gpu1)
    gpu1.enabled = False
    gpu1.save()
    with pytest.raises(errors.ExecutorDisabled):
        claiming.claim(gpu1)
    assert finish(attempt).state == State.FINISHED


# --- Heartbeats, results, releases -------------------------------------------------------


def test_a_heartbeat_renews_the_lease_and_tells_the_phase(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    attempt = claim(gpu1)
    Attempt.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    beat = reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, "executing")
    assert (beat.lease_seconds, beat.cancel_requested) == (30, False)
    job.refresh_from_db()
    assert job.phase == "executing"
    assert leases.expire() == 0


def test_a_result_ends_the_job(alice: User, gpu1: Executor) -> None:
    job = finish(claim_of(alice, gpu1))
    assert (job.state, job.phase, job.outcome) == (State.FINISHED, "", "succeeded")
    assert job.result is not None
    assert bytes(job.result.execute_log) == b"hello\n"
    assert actions(job) == [
        ("alice", "submitted"),
        ("executor:gpu1", "claimed"),
        ("executor:gpu1", "finished"),
    ]


def claim_of(user: User, executor: Executor) -> Attempt:
    submit(user)
    return claim(executor)


def test_the_same_result_again_is_no_news_and_another_is_refused(
    alice: User, gpu1: Executor
) -> None:
    attempt = claim_of(alice, gpu1)
    finish(attempt)
    count = AuditEntry.objects.count()
    assert finish(attempt).state == State.FINISHED
    assert AuditEntry.objects.count() == count
    with pytest.raises(errors.ResultConflict):
        finish(attempt, Result("runtime_error"))


def test_nobody_reports_without_the_lease(alice: User, gpu1: Executor, gpu2: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    for token in ("", "x", attempt.lease_token + "x", "ü"):
        with pytest.raises(errors.LeaseLost):
            reporting.finish(gpu1, attempt.pk, token, GOOD)
        with pytest.raises(errors.LeaseLost):
            reporting.heartbeat(gpu1, attempt.pk, token, "executing")
        with pytest.raises(errors.LeaseLost):
            reporting.release(gpu1, attempt.pk, token, "")
    with pytest.raises(NotFound):
        reporting.finish(gpu2, attempt.pk, attempt.lease_token, GOOD)
    with pytest.raises(NotFound):
        reporting.finish(gpu1, attempt.pk + 1, attempt.lease_token, GOOD)
    assert finish(attempt).state == State.FINISHED


def test_a_release_gives_the_job_back_with_its_reason(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    for _ in range(2):  # twice is no news
        job = reporting.release(gpu1, attempt.pk, attempt.lease_token, "it was stopped")
        assert (job.state, job.attempts_left) == (State.QUEUED, 2)
    attempt.refresh_from_db()
    assert (attempt.ending, attempt.reason) == (Ending.RELEASED, "it was stopped")
    with pytest.raises(errors.LeaseLost):
        finish(attempt)


def test_what_is_the_hosts_alone_costs_a_job_no_attempt(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    token = attempt.lease_token
    for _ in range(2):  # twice is no news
        job = reporting.release(gpu1, attempt.pk, token, "no memory", counts=False)
        assert (job.state, job.attempts_left) == (State.QUEUED, 3)
    again = claim(gpu1)
    assert (again.number, again.job.attempts_left) == (2, 2)


def test_even_the_last_attempt_may_not_count(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    for _ in range(2):
        expire(claim(gpu1))
    last = claim(gpu1)
    job = reporting.release(gpu1, last.pk, last.lease_token, "no memory", counts=False)
    assert (job.state, job.attempts_left) == (State.QUEUED, 1)
    expire(claim(gpu1))
    job.refresh_from_db()
    assert job.state == State.FAILED


def test_a_job_that_is_always_given_back_comes_to_an_end(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    for _ in range(transitions.UNCOUNTED_ATTEMPTS + 3):
        attempt = claim(gpu1)
        job = reporting.release(gpu1, attempt.pk, attempt.lease_token, "no memory", counts=False)
    assert job.state == State.FAILED
    assert claiming.claim(gpu1) is None


def test_a_job_whose_cancel_was_asked_for_is_cancelled_all_the_same(
    alice: User, gpu1: Executor
) -> None:
    attempt = claim_of(alice, gpu1)
    cancelling.cancel(attempt.job_id, "alice")
    job = reporting.release(gpu1, attempt.pk, attempt.lease_token, "no memory", counts=False)
    assert job.state == State.CANCELLED


# --- Leases that run out -----------------------------------------------------------------


def test_a_lease_that_runs_out_gives_the_job_to_another(alice: User, gpu1, gpu2) -> None:
    lost = claim_of(alice, gpu1)
    assert leases.expire() == 0
    expire(lost)
    assert lost.ending == Ending.EXPIRED
    assert "gpu1" in lost.reason
    won = claim(gpu2)
    assert won.number == 2
    with pytest.raises(errors.LeaseLost):
        finish(lost)
    with pytest.raises(errors.LeaseLost):
        reporting.heartbeat(gpu1, lost.pk, lost.lease_token, "executing")
    assert finish(won).state == State.FINISHED
    with pytest.raises(errors.LeaseLost):
        finish(lost)


def test_attempts_are_capped_and_the_end_is_the_systems_fault(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    for _ in range(3):
        expire(claim(gpu1))
    job.refresh_from_db()
    assert (job.state, job.outcome, job.result) == (State.FAILED, "", None)
    assert job.finished_at
    assert actions(job)[-1] == ("system", "failed")
    assert claiming.claim(gpu1) is None


# --- Cancelling and running again --------------------------------------------------------


def test_cancel_takes_a_queued_job_out(alice: User, gpu1: Executor) -> None:
    job = cancelling.cancel(submit(alice).pk, "alice")
    assert (job.state, job.result) == (State.CANCELLED, None)
    assert claiming.claim(gpu1) is None
    with pytest.raises(errors.AlreadyOver, match="cancelled already"):
        cancelling.cancel(job.pk, "alice")


def test_cancel_asks_the_executor_of_a_running_job(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    for _ in range(2):  # twice is no news
        job = cancelling.cancel(attempt.job_id, "alice")
        assert job.state == State.RUNNING
        assert job.cancel_requested_at
    beat = reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, "executing")
    assert beat.cancel_requested
    job = reporting.release(gpu1, attempt.pk, attempt.lease_token, "it was cancelled")
    assert job.state == State.CANCELLED
    assert actions(job)[2:] == [("alice", "cancel-requested"), ("executor:gpu1", "cancelled")]


def test_a_result_that_comes_before_the_cancel_is_heard_counts(alice: User, gpu1) -> None:
    attempt = claim_of(alice, gpu1)
    cancelling.cancel(attempt.job_id, "alice")
    assert finish(attempt).state == State.FINISHED


def test_a_cancel_outlives_the_executor(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    cancelling.cancel(attempt.job_id, "alice")
    expire(attempt)
    assert Job.objects.get().state == State.CANCELLED
    assert claiming.claim(gpu1) is None


@pytest.mark.parametrize("how", ["finished", "cancelled", "failed"])
def test_staff_run_a_job_again_whatever_became_of_it(how: str, alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    if how == "finished":
        finish(claim(gpu1), Result("runtime_error"))
    elif how == "cancelled":
        cancelling.cancel(job.pk, "alice")
    else:
        for _ in range(3):
            expire(claim(gpu1))
    job = requeue(job.pk, "ta")
    assert (job.state, job.outcome, job.finished_at) == (State.QUEUED, "", None)
    assert job.attempts_left == 3
    assert actions(job)[-1] == ("ta", "requeued")
    job = finish(claim(gpu1))
    assert job.outcome == "succeeded"
    assert job.attempts.filter(ending=Ending.FINISHED).count() == 1


def test_staff_take_a_running_job_away(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    assert requeue(attempt.job_id, "ta").state == State.QUEUED
    with pytest.raises(errors.LeaseLost):
        finish(attempt)
    attempt.refresh_from_db()
    assert (attempt.ending, attempt.reason) == (Ending.REQUEUED, "by ta")


def test_requeueing_a_queued_job_changes_nothing(alice: User) -> None:
    job = submit(alice)
    assert requeue(job.pk, "ta").version == job.version


def test_a_requeue_does_not_forget_a_cancel(alice: User, gpu1: Executor) -> None:
    attempt = claim_of(alice, gpu1)
    cancelling.cancel(attempt.job_id, "alice")
    assert requeue(attempt.job_id, "ta").state == State.CANCELLED


def test_an_unknown_job_is_said_so(db: None) -> None:
    for operation in (cancelling.cancel, requeue):
        with pytest.raises(NotFound, match="no job 77"):
            operation(77, "ta")


def test_reset_deletes_jobs_and_keeps_the_audit_log(alice: User, gpu1: Executor) -> None:
    finish(claim_of(alice, gpu1))
    submit(alice)
    before = AuditEntry.objects.count()
    assert retention.reset_submissions("command") == 2
    assert (Job.objects.count(), Attempt.objects.count()) == (0, 0)
    assert AuditEntry.objects.count() == before + 1


def test_an_executor_is_noted_as_seen_and_what_it_told(gpu1: Executor) -> None:
    executors.seen(gpu1, {"nvcc": "13.0"})
    gpu1.refresh_from_db()
    first = gpu1.last_seen_at
    assert gpu1.about == {"nvcc": "13.0"}
    executors.seen(gpu1)
    gpu1.refresh_from_db()
    assert gpu1.last_seen_at == first  # not written more often than needed
    executors.seen(gpu1, {"nvcc": "13.1"})
    gpu1.refresh_from_db()
    assert gpu1.about == {"nvcc": "13.1"}


def test_a_user_who_is_deleted_meanwhile_is_told_so(alice: User) -> None:
    User.objects.filter(pk=alice.pk).delete()
    with pytest.raises(NotFound, match="deleted"):
        submitting.submit(alice, Submission("x"))


def test_a_claim_tells_of_the_next_job_that_went_behind(
    alice: User, gpu1: Executor, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL another executor may have passed over them all; it gets one, and tells on."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 3
    told: list[int] = []
    monkeypatch.setattr(
        waiting, "announce", lambda job, platform=None: platform and told.append(job)
    )
    _, second, third = (submitting.submit(alice, Submission("source"))[0].pk for _ in range(3))
    told.clear()
    for _ in range(3):
        assert claiming.claim(gpu1)
    assert told == [second, third]
