"""Claiming: which job an executor gets next, and the lease that it gets with it.

Of the jobs that it can run now, the first by (owner's last turn on that platform, id): the least
recently served user is served first. A claim takes the owner's row and the job's together, and
passes over a user who is being served at this moment, so that nobody is served twice in one turn.
"""

import heapq
import secrets
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, dropwhile, islice
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import (
    BooleanField,
    Case,
    DateTimeField,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.utils import timezone

from accounts.models import CUDA, Executor, Turn, User
from accounts.platforms import LANGUAGES, OLDER_LANGUAGES, Service
from foundation.database import connections
from foundation.database.statements import Parameter, Select, insert, update
from jobs import audit, errors, leases
from jobs.audit import Entry
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, Phase, State
from jobs.transitions import announce_again, move, queued_of

BATCH = 8  # candidates read at once; mostly the first one is free
MAX_CANDIDATES = 512  # that one claim looks at; those that are not free are announced later

_USER, _JOB, _EXECUTOR = Parameter("user"), Parameter("job"), Parameter("executor")
_PLATFORM, _TURN = Parameter("platform"), Parameter("turn")
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
    .only("id")[:1]
)
_THOSE_TO_GO_BEHIND = Select(
    Job.objects.select_for_update(skip_locked=True)
    .filter(user=_USER, state=State.QUEUED, platform=_PLATFORM).order_by("id").only("id")
)  # fmt: skip


def _given_back_since(job: Any) -> QuerySet[Attempt]:
    """Attempts at a job that this executor could not run just now.

    A host without room gives a job back, and its other workers' requests, made before, would
    take it at once, until no attempt is left.
    """
    asked_at = Parameter("asked_at", DateTimeField())
    return Attempt.objects.filter(
        job=job, executor=_EXECUTOR, ending=Ending.RELEASED, ended_at__gte=asked_at
    ).order_by()


def _not_given_back(jobs: QuerySet[Job]) -> QuerySet[Job]:
    back = Subquery(_given_back_since(OuterRef("pk")).values("pk")[:1])
    return jobs.alias(back=back).filter(back=None)


_GIVEN_BACK = Select(_given_back_since(_JOB).only("id")[:1])
_KNOWN = [Parameter(f"language{place}") for place in range(len(LANGUAGES))]
_PLAIN = [Parameter(f"plain{place}", BooleanField()) for place in range(2)]
_CANDIDATES = (
    Job.objects.queued(_PLATFORM)
    .filter(language__in=_KNOWN, is_plain__in=_PLAIN)
    .only("id", "user", "turn")
)
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


_OLDER = Service({CUDA: CUDA}, frozenset(OLDER_LANGUAGES), is_older=True)


class _Claim(NamedTuple):
    """An executor's wish for a job."""

    executor: Executor
    service: Service
    key: str | None
    asked_at: datetime

    def kinds(self) -> dict[str, Any]:
        """Parameters: the languages that the executor knows, and whether it takes plain jobs
        alone."""
        known = sorted(self.service.languages) or [""]
        known += known[-1:] * (len(LANGUAGES) - len(known))
        plain = {"plain0": True, "plain1": self.service.is_older}
        return {**plain, **{f"language{place}": name for place, name in enumerate(known)}}


def claim(
    executor: Executor,
    key: str | None = None,
    asked_at: datetime | None = None,
    service: Service = _OLDER,
) -> Attempt | None:
    """The next job in turn that `service` is for, leased to `executor` as a new attempt.

    None when none waits. The same `key` gives the same attempt again while that is open: an
    answer that was lost costs nothing. A request that was held since `asked_at` gets no job that
    the executor has given back since. Raises ExecutorDisabled.
    """
    if not executor.enabled:
        raise errors.ExecutorDisabled
    before = _ATTEMPT_OF_CLAIM.first(executor=executor.pk, key=key) if key else None
    if before and before.ended_at is None:
        return before
    wish = _Claim(executor, service, key, asked_at or timezone.now())
    candidates = _candidates(wish)
    # An idle executor's look does not take the write lock.
    first = next((job for job in candidates if not _gave_back(wish, job)), None)
    if first is None:
        return None
    try:
        return _claim_next(wish, chain([first], candidates), before)
    except IntegrityError:  # the same claim, sent twice at once: the other one has it
        if key is None:
            raise
        other = _ATTEMPT_OF_CLAIM.first(executor=executor.pk, key=key)
        return other if other and other.ended_at is None else None


def _candidates(claim: _Claim) -> Iterator[Job]:
    """What it can run of the jobs that wait, in turn, read without locks and as needed.

    A probe of the index a platform, merged.
    """
    queues = (_queue(platform, claim.kinds()) for platform in claim.service.names)
    return islice(heapq.merge(*queues, key=lambda job: (job.turn, job.pk)), MAX_CANDIDATES)


def _queue(platform: str, kinds: dict[str, Any]) -> Iterator[Job]:
    batch = _FIRST_CANDIDATES.all(platform=platform, **kinds)
    while batch:
        yield from batch
        if len(batch) < BATCH:
            return
        last = batch[-1]
        batch = _NEXT_CANDIDATES.all(platform=platform, turn=last.turn, job=last.pk, **kinds)


def _gave_back(claim: _Claim, job: Job) -> bool:
    """Whether the executor gave the job back since it asked. `_FREE_JOB` looks for it too."""
    about = {"executor": claim.executor.pk, "asked_at": claim.asked_at}
    return _GIVEN_BACK.first(job=job.pk, **about) is not None


@transaction.atomic
def _claim_next(claim: _Claim, candidates: Iterator[Job], before: Attempt | None) -> Attempt | None:
    connections.may_be_lost()
    executor = claim.executor
    job = _take_next(claim, candidates)
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
        claim_key=claim.key,
        lease_token=secrets.token_urlsafe(32),
        lease_expires_at=now + leases.length(),
        started_at=now,
    )
    insert(attempt)
    left = job.attempts_left - 1
    move(job, Event.CLAIMED, phase=Phase.COMPILING, started_at=now, attempts_left=left)
    _end_turn(job, attempt.pk)
    request = {"attempt": attempt.number}
    audit.record(Entry(executor.audit_name, Event.CLAIMED, job.pk, request))
    return attempt


def _take_next(claim: _Claim, candidates: Iterator[Job]) -> Job | None:
    """The first job in turn whose owner is not being served, both rows locked.

    A user whose row is locked is being served, or submits; a candidate whose turn has changed
    since it was read belongs behind others. Both are passed over: the transaction that changes
    them announces what is left (`_end_turn`).
    """
    about = {"executor": claim.executor.pk, "asked_at": claim.asked_at}
    while batch := list(islice(candidates, BATCH)):
        while batch := _from_first_free(batch):
            if job := _FREE_JOB.first(job=batch[0].pk, turn=batch[0].turn, **about):
                return job
            batch = batch[1:]
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
    return list(dropwhile(lambda job: job.user_id != owner.pk, candidates))


def _still_serves(executor: Executor) -> bool:
    """Whether the executor may have a job now: its request may have been held for long.

    Raises ExecutorDisabled.
    """
    now = _EXECUTOR_NOW.first(executor=executor.pk)
    if now is not None and not now.enabled:
        raise errors.ExecutorDisabled
    return now is not None and now.token_digest == executor.token_digest


def _end_turn(job: Job, turn: int) -> None:
    """The owner was served: their other jobs that wait for the platform go behind everyone's.

    `_take_next` passes over an owner who is being served: what it passed over is announced.
    """
    whose = {"user_id": job.user_id, "platform": job.platform}
    if not update(Turn, whose, last_turn=turn):
        insert(Turn(**whose, last_turn=turn))
    others = queued_of(job.user_id)
    if any(other.platform == job.platform for other in others):
        behind = _THOSE_TO_GO_BEHIND.keys(user=job.user_id, platform=job.platform)
        update(Job, {"id": behind, "state": State.QUEUED}, turn=turn)
    announce_again(others)
