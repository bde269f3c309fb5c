"""Everything that is done to jobs: the only writer of their state.

Each operation is one transaction that locks the job's row, makes one conditional update and
writes its audit entry; views, admin and commands call these and nothing else. Locks are taken
in one order, so that no two operations wait for each other: user (submit alone), job, attempt,
user's turn, and the audit counter last.
"""

import functools
import hashlib
import json
import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, OuterRef, QuerySet, Subquery
from django.utils import timezone

from accounts.models import Executor, User
from jobs import audit, errors, files, states, waiting
from jobs.audit import Entry
from jobs.models import Attempt, Job, OutputFile, OutputPart
from jobs.states import Ending, Event, Phase, State
from telerun_site.statements import Parameter, Select, insert, update

log = logging.getLogger(__name__)

SYSTEM = "system"  # the audit log's name for the queue itself
JOBS_DELETED = "jobs-deleted"
_SEEN_EVERY = timedelta(seconds=5)  # how often "last seen" is written at most

# --- What every life of a job reads ------------------------------------------------------

_USER, _JOB, _EXECUTOR = Parameter("user"), Parameter("job"), Parameter("executor")
_SUBMITTER = Select(
    User.objects.select_for_update(no_key=True).filter(pk=_USER).only("username", "last_turn")
)
_JOB_OF_KEY = Select(Job.objects.filter(user=_USER, idempotency_key=Parameter("key")).order_by())
_QUEUED_OF_USER = Select(
    Job.objects.filter(user=_USER, state=State.QUEUED).order_by("id").only("id")
)
_TO_GO_BEHIND = Select(
    Job.objects.filter(user=_USER, state=State.QUEUED)
    .order_by("id").only("id").select_for_update(skip_locked=True)
)  # fmt: skip
_EXECUTOR_NOW = Select(
    Executor.objects.filter(pk=_EXECUTOR).order_by().only("enabled", "token_digest")
)
_ATTEMPT_OF_CLAIM = Select(
    Attempt.objects.filter(executor=_EXECUTOR, claim_key=Parameter("key")).order_by()
)
_ATTEMPTS = Select(Attempt.objects.filter(job=_JOB).order_by().only("id"))
_LOCKED_JOB = Select(Job.objects.select_for_update(no_key=True).filter(pk=_JOB).order_by())
_ATTEMPT = Select(
    Attempt.objects.filter(pk=Parameter("attempt"), executor=_EXECUTOR)
    .order_by().defer("compile_log", "execute_log", "details")
)  # fmt: skip


def _given_back_since() -> QuerySet[Attempt]:
    """What this executor could not run just now.

    A host without room gives a job back, and its other workers' requests, made before, would
    take it at once, until no attempt is left.
    """
    asked_at = Parameter("asked_at", DateTimeField())
    return Attempt.objects.filter(
        job=OuterRef("pk"), executor=_EXECUTOR, ending=Ending.RELEASED, ended_at__gte=asked_at
    ).order_by()


# One look at a time, as jobs are read in turn: PostgreSQL makes a join of EXISTS, and of the queue.
_FOR_IT = Job.objects.queued().alias(back=Subquery(_given_back_since().values("pk")[:1]))
_FOR_IT = _FOR_IT.filter(back=None)
_ANY_FOR_IT = Select(_FOR_IT.only("id")[:1])  # spares idle executors the write lock
_NEXT_FOR_IT = Select(_FOR_IT.select_for_update(skip_locked=True)[:1])


@dataclass(frozen=True)
class Submission:
    """What a user sends: the text of a `.cu` file, its name, and the program's arguments."""

    source: str
    filename: str = "program.cu"
    args: list[str] = field(default_factory=list)

    def digest(self) -> str:
        return _digest(self.__dict__)


@dataclass(frozen=True)
class Result:
    """What an attempt reports. Logs are bytes; times in seconds; `details` is any JSON object."""

    outcome: str
    compile_log: bytes = b""
    execute_log: bytes = b""
    exit_code: int | None = None
    signal: int | None = None
    compile_seconds: float | None = None
    execute_seconds: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        return _digest(
            {k: v.hex() if isinstance(v, bytes) else v for k, v in self.__dict__.items()}
        )


def executor_actor(executor: Executor) -> str:
    """How the audit log names an executor, so that no user's name can be mistaken for it."""
    return f"executor:{executor.name}"


# --- Submitting --------------------------------------------------------------------------


@transaction.atomic
def submit(
    user: User, submission: Submission, key: str | None = None, *, replace: bool = False
) -> tuple[Job, bool]:
    """Queues a job for `user`: the job, and whether it is new.

    The same `key` with the same submission gives the same job again. With `replace`, the
    user's queued jobs make way. Raises IdempotencyKeyReused, SourceTooLarge, PendingJob,
    TooManySubmissions.
    """
    size = len(submission.source.encode())
    if size > settings.TELERUN_MAX_SOURCE_BYTES:
        raise errors.SourceTooLarge(
            f"The source has {size} bytes of UTF-8; the queue takes "
            f"{settings.TELERUN_MAX_SOURCE_BYTES}."
        )
    # One submission of a user at a time, so that counting what is queued means something.
    if (found := _SUBMITTER.first(user=user.pk)) is None:
        raise errors.NotFound("Your account was deleted.")
    user = found
    if key and (job := _JOB_OF_KEY.first(user=user.pk, key=key)):
        if job.request_digest != submission.digest():
            raise errors.IdempotencyKeyReused
        return job, False
    _not_too_often(user)
    replaced = _make_room(user, replace)
    job = Job(
        user=user,
        source=submission.source,
        filename=submission.filename,
        args=submission.args,
        submitted_at=timezone.now(),
        turn=user.last_turn,
        attempts_left=settings.TELERUN_MAX_ATTEMPTS,
        idempotency_key=key,
        request_digest=submission.digest(),
    )
    insert(job)
    audit.record(
        *(
            Entry(user.username, Event.REPLACED, old.pk, {"replaced_by": job.pk})
            for old in replaced
        ),
        Entry(user.username, Event.SUBMITTED, job.pk, dict(submission.__dict__)),
    )
    return job, True


def _not_too_often(user: User) -> None:
    """Raises TooManySubmissions. All jobs of the last minute count, whatever became of them."""
    if not (most := settings.TELERUN_SUBMITS_PER_MINUTE):
        return
    if first := _jobs_before(most - 1).first(user=user.pk):  # the first of the `most` latest
        age = (timezone.now() - first.submitted_at).total_seconds()
        if 0 <= age < 60:  # a clock that was set back keeps nobody out
            wait = ceil(60 - age)
            raise errors.TooManySubmissions(
                f"The queue takes {most} of your submissions in a minute. Wait {wait} seconds.",
                retry_after=wait,
            )


@functools.cache
def _jobs_before(latest: int) -> Select[Job]:
    """The user's newest job but so many."""
    jobs = Job.objects.filter(user=_USER).order_by("-id").only("submitted_at")
    return Select(jobs[latest : latest + 1])


def _make_room(user: User, replace: bool) -> list[Job]:
    """Raises PendingJob if the user has no room in the queue, or with `replace` makes some."""
    if not replace:
        pending = _QUEUED_OF_USER.keys(user=user.pk)
        if len(pending) >= settings.TELERUN_MAX_QUEUED_PER_USER:
            raise errors.PendingJob(
                f"You have a job in the queue already: job {pending[0]}. "
                "Wait for it, cancel it, or replace it with --override-pending.",
                job=pending[0],
            )
        return []
    # A job that is being claimed at this moment is locked, and no longer in the way.
    queued = Job.objects.filter(user=user, state=State.QUEUED).order_by("id")
    replaced = list(queued.select_for_update(skip_locked=True))
    for job in replaced:
        _move(job, Event.REPLACED, finished_at=timezone.now())
    return replaced


# --- Claiming ----------------------------------------------------------------------------


def claim(
    executor: Executor, key: str | None = None, asked_at: datetime | None = None
) -> Attempt | None:
    """The next job in turn, leased to `executor` as a new attempt; None when none waits.

    The same `key` gives the same attempt again while that is open: an answer that was lost
    costs nothing. A request that was held since `asked_at` gets no job that the executor has
    given back since. Raises ExecutorDisabled.
    """
    if not executor.enabled:
        raise errors.ExecutorDisabled
    before = _ATTEMPT_OF_CLAIM.first(executor=executor.pk, key=key) if key else None
    if before and before.ended_at is None:
        return before
    asked_at = asked_at or timezone.now()
    if _ANY_FOR_IT.first(executor=executor.pk, asked_at=asked_at) is None:
        return None
    try:
        return _claim_next(executor, key, asked_at, before)
    except IntegrityError:  # the same claim, sent twice at once: the other one has it
        if key is None:
            raise
        other = _ATTEMPT_OF_CLAIM.first(executor=executor.pk, key=key)
        return other if other and other.ended_at is None else None


@transaction.atomic
def _claim_next(
    executor: Executor, key: str | None, asked_at: datetime, before: Attempt | None
) -> Attempt | None:
    job = _NEXT_FOR_IT.first(executor=executor.pk, asked_at=asked_at)
    if job is None or not _still_serves(executor):
        return None
    now = timezone.now()
    if before:  # that attempt is over and needs its key no longer
        update(Attempt, {"id": before.pk}, claim_key=None)
    attempt = Attempt(
        job=job,
        number=_ATTEMPTS.count(job=job.pk) + 1,
        executor=executor,
        executor_name=executor.name,
        claim_key=key,
        lease_token=secrets.token_urlsafe(32),
        lease_expires_at=now + _lease(),
        started_at=now,
    )
    insert(attempt)
    _move(
        job,
        Event.CLAIMED,
        phase=Phase.COMPILING,
        started_at=now,
        attempts_left=job.attempts_left - 1,
    )
    _take_turn(job, attempt.pk)
    audit.record(
        Entry(executor_actor(executor), Event.CLAIMED, job.pk, {"attempt": attempt.number})
    )
    return attempt


def _still_serves(executor: Executor) -> bool:
    """Whether the executor may have a job now: its request may have been held for long.

    Raises ExecutorDisabled.
    """
    now = _EXECUTOR_NOW.first(executor=executor.pk)
    if now is not None and not now.enabled:
        raise errors.ExecutorDisabled
    return now is not None and now.token_digest == executor.token_digest


def _take_turn(job: Job, turn: int) -> None:
    """The owner was served: whatever else they have waiting goes behind everyone's."""
    update(User, {"id": job.user_id}, last_turn=turn)
    if behind := _TO_GO_BEHIND.keys(user=job.user_id):
        update(Job, {"id": behind, "state": State.QUEUED}, turn=turn)
        # An executor that looked just now passed over them, for they were locked. One is told:
        # who claims that one tells the next.
        waiting.announce(behind[0], queued=True)


# --- What an executor reports ------------------------------------------------------------


@dataclass(frozen=True)
class Heartbeat:
    """The answer to a heartbeat."""

    lease_seconds: int
    cancel_requested: bool


@transaction.atomic
def heartbeat(executor: Executor, attempt_id: int, lease_token: str, phase: str) -> Heartbeat:
    """Renews the lease and notes the phase. Raises NotFound, LeaseLost."""
    job, attempt = _held(executor, attempt_id, lease_token)
    lease = {"lease_expires_at": timezone.now() + _lease()}
    if not update(Attempt, {"id": attempt.pk, "ended_at": None}, **lease):
        raise errors.LeaseLost
    if phase != job.phase:
        update(Job, {"id": job.pk}, phase=phase, version=job.version + 1)
        waiting.announce(job.pk)
    return Heartbeat(settings.TELERUN_LEASE_SECONDS, job.cancel_requested_at is not None)


@transaction.atomic
def keep_file(
    executor: Executor, attempt_id: int, lease_token: str, name: str, content: bytes
) -> None:
    """Keeps a file of the attempt's program; its result then shows it. Again, it is no news.

    Raises NotFound, LeaseLost, FilesTooLarge.
    """
    _, attempt = _held(executor, attempt_id, lease_token)
    digest = hashlib.sha256(content).hexdigest()
    if not Attempt.objects.open().filter(pk=attempt.pk).exists():
        if not attempt.files.filter(name=name, digest=digest).exists():
            raise errors.LeaseLost
        return
    attempt.files.filter(name=name).delete()
    files.check_room(attempt, len(content))
    file = OutputFile.objects.create(attempt=attempt, name=name, size=len(content), digest=digest)
    OutputPart.objects.bulk_create(files.parts_of(file, content), batch_size=files.PARTS_AT_ONCE)


@transaction.atomic
def finish(executor: Executor, attempt_id: int, lease_token: str, result: Result) -> Job:
    """Takes the attempt's result, which ends the job. The same result again is no news.

    A result that comes while a cancel is asked for counts: the work was done.
    Raises NotFound, LeaseLost, ResultConflict.
    """
    job, attempt = _held(executor, attempt_id, lease_token)
    digest = result.digest()
    told = {**result.__dict__, "details": files.confirmed(attempt, result.details)}
    if not _end(attempt, Ending.FINISHED, result_digest=digest, **told):
        if not attempt.result_digest:
            raise errors.LeaseLost
        if attempt.result_digest != digest:
            raise errors.ResultConflict
        return job
    _move(job, Event.FINISHED, phase="", outcome=result.outcome, finished_at=timezone.now())
    request = {"attempt": attempt.number, "outcome": result.outcome}
    audit.record(Entry(executor_actor(executor), Event.FINISHED, job.pk, request))
    return job


@transaction.atomic
def release(executor: Executor, attempt_id: int, lease_token: str, reason: str) -> Job:
    """The executor gives the job back. Doing so twice is no news. Raises NotFound, LeaseLost."""
    job, attempt = _held(executor, attempt_id, lease_token)
    if _give_up(job, attempt, Ending.RELEASED, reason, executor_actor(executor)):
        return job
    if attempt.ending not in (Ending.RELEASED, Ending.CANCELLED):
        raise errors.LeaseLost
    return job


def seen(executor: Executor, about: dict[str, Any] | None = None) -> None:
    """Notes that the executor was heard of, and what it told of itself if anything new."""
    now = timezone.now()
    changes: dict[str, Any] = {"last_seen_at": now}
    if about and about != executor.about:
        changes["about"] = about
    elif executor.last_seen_at and executor.last_seen_at > now - _SEEN_EVERY:
        return
    with transaction.atomic():  # a writer's turn, on SQLite
        update(Executor, {"id": executor.pk}, **changes)


# --- Stopping and running again ----------------------------------------------------------


@transaction.atomic
def cancel(job_id: int, actor: str) -> Job:
    """Cancels a queued job, or asks the executor of a running one to stop it.

    Asking twice is no news. Raises NotFound, AlreadyOver.
    """
    job = _locked(job_id)
    if job.is_over:
        raise errors.AlreadyOver(f"Job {job.pk} is {job.state} already.")
    if job.state == State.QUEUED:
        _move(job, Event.CANCELLED, finished_at=timezone.now())
        audit.record(Entry(actor, Event.CANCELLED, job.pk))
    elif job.cancel_requested_at is None:
        _move(job, Event.CANCEL_REQUESTED, cancel_requested_at=timezone.now())
        audit.record(Entry(actor, Event.CANCEL_REQUESTED, job.pk))
    return job


@transaction.atomic
def requeue(job_id: int, actor: str) -> Job:
    """Staff have the job run (again), with all its attempts before it.

    A running attempt loses its lease; an earlier result stays in the history. A queued job
    is left as it is, and a running one whose cancel was asked for is cancelled.
    Raises NotFound.
    """
    job = _locked(job_id)
    was_over = job.is_over
    if job.state == State.QUEUED:
        return job
    if attempt := job.attempts.open().first():
        if job.cancel_requested_at is not None:
            _give_up(job, attempt, Ending.REQUEUED, f"by {actor}", actor)
            return job
        _end(attempt, Ending.REQUEUED, reason=f"by {actor}")
    job.attempts.filter(ending=Ending.FINISHED).update(ending=Ending.SUPERSEDED)
    _move(
        job,
        Event.REQUEUED,
        phase="",
        outcome="",
        started_at=None,
        finished_at=None,
        cancel_requested_at=None,
        attempts_left=settings.TELERUN_MAX_ATTEMPTS,
    )
    request = {"reason": f"by {actor}", "was_over": was_over}
    audit.record(Entry(actor, Event.REQUEUED, job.pk, request))
    return job


def renew_leases() -> int:
    """Gives every open attempt a whole lease from now, after the clock was set; returns how many.

    Set forward, the clock would end all leases at once; set back, it would keep those of dead
    executors alive for as long.
    """
    renewed = Attempt.objects.open().update(lease_expires_at=timezone.now() + _lease())
    log.warning("The clock was set: %d leases begin anew.", renewed)
    return renewed


def expire_leases(now: datetime | None = None) -> int:
    """Takes back every job whose lease has run out, and returns how many."""
    now = now or timezone.now()
    late = Attempt.objects.expired(now).order_by("lease_expires_at").values_list("pk", "job_id")
    return sum(_expire(attempt_id, job_id, now) for attempt_id, job_id in list(late))


@transaction.atomic
def _expire(attempt_id: int, job_id: int, now: datetime) -> bool:
    job = _locked(job_id)
    attempt = Attempt.objects.expired(now).filter(pk=attempt_id).first()
    if attempt is None:  # it reported, or renewed its lease, just before
        return False
    reason = f"nothing was heard of {attempt.executor_name} until its lease ran out"
    _give_up(job, attempt, Ending.EXPIRED, reason, SYSTEM)
    log.warning("Job %s is taken back: %s.", job.pk, reason)
    return True


@transaction.atomic
def reset_submissions(actor: str) -> int:
    """Deletes every job and its attempts, and returns how many. The audit log stays."""
    ids = _delete(Job.objects.order_by("id"))
    audit.record(jobs_deleted(actor, ids, "reset-submissions"))
    return len(ids)


def prune(before: datetime, actor: str, batch: int = 200) -> int:
    """Deletes jobs that were over before then, and returns how many. The audit log stays.

    In batches, so that nobody waits long for a lock.
    """
    old = Job.objects.filter(state__in=states.FINAL, finished_at__lt=before).order_by("id")
    return sum(iter(lambda: _prune(old[:batch], actor), 0))


@transaction.atomic
def _prune(old: QuerySet[Job], actor: str) -> int:
    locked = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True))
    if ids := _delete(Job.objects.filter(pk__in=files.few_enough(locked)).order_by("id")):
        audit.record(jobs_deleted(actor, ids, "prune"))
    return len(ids)


def _delete(jobs: QuerySet[Job]) -> list[int]:
    ids = list(jobs.values_list("pk", flat=True))
    Job.objects.filter(pk__in=ids).only("pk").delete()
    return ids


def jobs_deleted(actor: str, ids: list[int], reason: str) -> Entry:
    """The audit entry that accounts for jobs that are no longer there."""
    return Entry(actor, JOBS_DELETED, request={"jobs": ids, "reason": reason})


# --- Shared steps ------------------------------------------------------------------------


def _give_up(job: Job, attempt: Attempt, ending: Ending, reason: str, actor: str) -> bool:
    """Ends an attempt without a result: its job waits again, unless that is enough of it.

    False, and nothing is done, if the attempt had ended already.
    """
    now = timezone.now()
    event, changes = Event.FAILED, {"finished_at": now}
    if job.cancel_requested_at is not None:
        event, ending = Event.CANCELLED, Ending.CANCELLED
    elif job.attempts_left > 0:
        event, changes = Event.REQUEUED, {"started_at": None}
    if not _end(attempt, ending, reason=reason[:500]):
        return False
    _move(job, event, phase="", **changes)
    audit.record(Entry(actor, event, job.pk, {"attempt": attempt.number, "reason": reason}))
    return True


def _end(attempt: Attempt, ending: Ending, **changes: Any) -> bool:
    """Ends an open attempt; False if it had ended, and then `attempt` says how."""
    is_open = {"id": attempt.pk, "ended_at": None}
    ended = update(Attempt, is_open, ended_at=timezone.now(), ending=ending, **changes)
    if not ended:
        attempt.refresh_from_db(fields=("ended_at", "ending", "result_digest"))
    elif ending != Ending.FINISHED:  # files that no result shows
        attempt.files.all().delete()
    return bool(ended)


def _move(job: Job, event: Event, **changes: Any) -> None:
    """One conditional update along the table of states; `job` is as it is after it.

    The row is locked, so the condition holds; it is the belt to those braces.
    """
    changes = {**changes, "state": states.after(job.state, event), "version": job.version + 1}
    as_it_was = {"id": job.pk, "state": job.state, "version": job.version}
    if not update(Job, as_it_was, **changes):
        raise errors.JobError(f"Job {job.pk} changed at the same moment. Try again.")
    for name, value in changes.items():
        setattr(job, name, value)


def _locked(job_id: int) -> Job:
    job = _LOCKED_JOB.first(job=job_id)
    if job is None:
        raise errors.NotFound(f"There is no job {job_id}.")
    return job


def _held(executor: Executor, attempt_id: int, lease_token: str) -> tuple[Job, Attempt]:
    """The executor's own attempt with its job, which is locked. Raises NotFound, LeaseLost.

    The attempt is as it was before the lock was had: change it on a condition (`_end`).
    """
    attempt = _ATTEMPT.first(attempt=attempt_id, executor=executor.pk)
    if attempt is None:
        raise errors.NotFound(f"There is no attempt {attempt_id} of this executor.")
    if not secrets.compare_digest(attempt.lease_token.encode(), lease_token.encode()):
        raise errors.LeaseLost("The lease token is not this attempt's.")
    return _locked(attempt.job_id), attempt


def _lease() -> timedelta:
    return timedelta(seconds=settings.TELERUN_LEASE_SECONDS)


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
