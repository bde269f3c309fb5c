"""Claiming: which job an executor gets next, and the lease that it gets with it.

Of the jobs that wait, the first by (owner's last turn, id): the least recently served user is
served first. A claim takes the owner's row and the job's together, and passes over a user who is
being served at this moment, so that nobody is served twice in one turn.
"""

import itertools
import secrets
from datetime import datetime

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, DateTimeField, OuterRef, QuerySet, Subquery, Value, When
from django.utils import timezone

from accounts.models import Executor, User
from foundation.database import connections
from foundation.database.statements import Parameter, Select, insert, update
from foundation.serving import waiting
from jobs import audit, errors, leases
from jobs.audit import Entry
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, Phase, State
from jobs.transitions import move

BATCH = 8  # candidates read at once; mostly the first one is free
MAX_CANDIDATES = 512  # that one claim looks at; those that are not free are announced later

_USER, _JOB, _EXECUTOR = Parameter("user"), Parameter("job"), Parameter("executor")
_TURN = Parameter("turn")
_EXECUTOR_NOW = Select(
    Executor.objects.filter(pk=_EXECUTOR).order_by().only("enabled", "token_digest")
)
_ATTEMPT_OF_CLAIM = Select(
    Attempt.objects.filter(executor=_EXECUTOR, claim_key=Parameter("key")).order_by()
)
_ATTEMPTS_OF_JOB = Select(Attempt.objects.filter(job=_JOB).order_by().only("id"))
# Of the owners of a batch, in the order of the batch, the first whose row is free.
_OWNERS = [Parameter(f"owner{place}") for place in range(BATCH)]
_FREE_USER = Select(
    User.objects.select_for_update(no_key=True, skip_locked=True)
    .filter(pk__in=_OWNERS)
    .order_by(Case(*(When(pk=p, then=Value(n)) for n, p in enumerate(_OWNERS))))
    .only("last_turn")[:1]
)
_OTHER_JOBS_OF_USER = Select(
    Job.objects.select_for_update(skip_locked=True)
    .filter(user=_USER, state=State.QUEUED).order_by("id").only("id")
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


def _not_given_back(jobs: QuerySet[Job]) -> QuerySet[Job]:
    # One look at a time, as jobs are read: PostgreSQL makes a join of EXISTS, and of the queue.
    back = Subquery(_given_back_since().values("pk")[:1])
    return jobs.alias(back=back).filter(back=None)


_ANY_FOR_EXECUTOR = Select(_not_given_back(Job.objects.queued()).only("id")[:1])
_CANDIDATES = Job.objects.queued().only("id", "user", "turn")
_FIRST_CANDIDATES = Select(_CANDIDATES[:BATCH])
_NEXT_CANDIDATES = Select(
    _CANDIDATES.filter(turn__gte=_TURN).exclude(turn=_TURN, id__lte=_JOB)[:BATCH]
)
_FREE_JOB = Select(
    _not_given_back(
        Job.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(pk=_JOB, state=State.QUEUED, turn=_TURN).order_by()
    )
)  # fmt: skip


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
    # An idle executor's look does not take the write lock.
    if _ANY_FOR_EXECUTOR.first(executor=executor.pk, asked_at=asked_at) is None:
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
    connections.may_be_lost()
    job = _take_next(executor, asked_at)
    if job is None or not _still_serves(executor):
        return None
    now = timezone.now()
    if before:  # that attempt is over and needs its key no longer
        update(Attempt, {"id": before.pk}, claim_key=None)
    attempt = Attempt(
        job=job,
        number=_ATTEMPTS_OF_JOB.count(job=job.pk) + 1,
        executor=executor,
        executor_name=executor.name,
        claim_key=key,
        lease_token=secrets.token_urlsafe(32),
        lease_expires_at=now + leases.length(),
        started_at=now,
    )
    insert(attempt)
    left = job.attempts_left - 1
    move(job, Event.CLAIMED, phase=Phase.COMPILING, started_at=now, attempts_left=left)
    _end_turn(job.user_id, attempt.pk)
    request = {"attempt": attempt.number}
    audit.record(Entry(executor.audit_name, Event.CLAIMED, job.pk, request))
    return attempt


def _take_next(executor: Executor, asked_at: datetime) -> Job | None:
    """The first job in turn whose owner is not being served, both rows locked.

    Candidates are read without locks. A user whose row is locked is being served, or submits; a
    candidate whose turn has changed since belongs behind others. Both are passed over: the
    transaction that changes them announces what is left (`_end_turn`).
    """
    about = {"executor": executor.pk, "asked_at": asked_at}
    candidates, seen = _FIRST_CANDIDATES.all(), 0
    while candidates and seen < MAX_CANDIDATES:
        last, seen = candidates[-1], seen + len(candidates)
        while candidates := _from_first_free(candidates):
            job = _FREE_JOB.first(job=candidates[0].pk, turn=candidates[0].turn, **about)
            if job:
                return job
            candidates = candidates[1:]
        candidates = _NEXT_CANDIDATES.all(turn=last.turn, job=last.pk)
    return None


def _from_first_free(candidates: list[Job]) -> list[Job]:
    """Those from the first on whose owner's row was free, and is locked now."""
    # On SQLite there is one writer at a time, and it is this transaction.
    if not candidates or not connection.features.has_select_for_update:
        return candidates
    owners = [job.user_id for job in candidates]
    owners += owners[-1:] * (BATCH - len(owners))
    owner = _FREE_USER.first(**{f"owner{place}": key for place, key in enumerate(owners)})
    if owner is None:
        return []
    return list(itertools.dropwhile(lambda job: job.user_id != owner.pk, candidates))


def _still_serves(executor: Executor) -> bool:
    """Whether the executor may have a job now: its request may have been held for long.

    Raises ExecutorDisabled.
    """
    now = _EXECUTOR_NOW.first(executor=executor.pk)
    if now is not None and not now.enabled:
        raise errors.ExecutorDisabled
    return now is not None and now.token_digest == executor.token_digest


def _end_turn(user_id: int, turn: int) -> None:
    """The owner was served: their other jobs that wait go behind everyone's."""
    update(User, {"id": user_id}, last_turn=turn)
    if others := _OTHER_JOBS_OF_USER.keys(user=user_id):
        update(Job, {"id": others, "state": State.QUEUED}, turn=turn)
        # An executor that looked just now passed over them. One job is announced: the claim that
        # takes it announces the next.
        waiting.announce(others[0], queued=True)
