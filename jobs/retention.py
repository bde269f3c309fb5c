"""Deleting jobs for good, or their texts alone. The audit log stays, and says what is gone and why.

A job whose texts are gone keeps its times, its outcome and, in `texts_gone`, the digest and size of
each file: so it can be shown of a file that it was what was submitted.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from accounts.models import User
from foundation.serving import waiting
from jobs import audit, outputs
from jobs.audit import Entry, rewriting
from jobs.audit.rewriting import Rewritten
from jobs.kept import counting, sizes
from jobs.kept.counting import Bytes
from jobs.live import pieces
from jobs.models import Attempt, AuditEntry, Job, Kept
from jobs.states import FINAL, Event
from jobs.transitions import SYSTEM, locked

JOBS_DELETED = "jobs-deleted"
TEXTS_DROPPED = "texts-dropped"
FORGOTTEN = "purged"  # what a purged person's jobs are called
_BATCH = 50  # jobs of a transaction that drops texts


@transaction.atomic
def reset_submissions(actor: str) -> int:
    """Deletes every job and its attempts, and returns how many."""
    ids = _delete(Job.objects.select_for_update().order_by("id"))
    audit.record(_jobs_deleted(actor, ids, "reset-submissions"))
    return len(ids)


def prune(before: datetime, actor: str, batch: int = 200) -> int:
    """Deletes jobs that were over before then, and returns how many.

    In batches, so that nobody waits long for a lock.
    """
    old = Job.objects.filter(state__in=FINAL, finished_at__lt=before).order_by("id")
    return sum(iter(lambda: _prune(old[:batch], actor), 0))


@transaction.atomic
def _prune(old: QuerySet[Job], actor: str) -> int:
    locked = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True))
    few = outputs.few_enough_to_delete(locked)
    if ids := _delete(Job.objects.filter(pk__in=few).order_by("id")):
        audit.record(_jobs_deleted(actor, ids, "prune"))
    return len(ids)


def recount() -> int:
    """Counts anew what is kept of each user, and returns of how many the count was wrong."""
    users = User.objects.order_by("pk").values_list("pk", flat=True)
    return sum(map(_recount, list(users)))


@transaction.atomic
def _recount(user_id: int) -> bool:
    """Whoever changes what is kept does that first, and then waits for the counter that is held
    here: it is no part of what is found, and adds itself to that."""
    Kept.objects.get_or_create(user_id=user_id)
    kept = Kept.objects.select_for_update().filter(pk=user_id)
    before = list(kept.values_list("sources", "logs", "files"))
    found = sizes.by_user(Job.objects.filter(user=user_id)).get(user_id, Bytes())
    kept.update(**found._asdict())
    return before != [tuple(found)]


def _delete(jobs: QuerySet[Job]) -> list[int]:
    """Whoever deletes a job holds its row: so nobody else removes its files at the same time."""
    ids = list(jobs.values_list("pk", flat=True))
    gone = sizes.by_user(Job.objects.filter(pk__in=ids))
    Job.objects.filter(pk__in=ids).only("pk").delete()
    counting.subtract(gone)
    return ids


def _jobs_deleted(actor: str, ids: list[int], reason: str) -> Entry:
    """The audit entry that accounts for jobs that are no longer there."""
    return Entry(actor, JOBS_DELETED, request={"jobs": ids, "reason": reason})


# --- Texts: sources, and what was printed -------------------------------------------------


class Dropped(NamedTuple):
    """How many jobs, and how many entries of submissions, lost their texts."""

    jobs: int
    entries: int


def drop_texts(before: datetime, actor: str) -> Dropped:
    """Texts of jobs that were over before then, and of submissions before then whose jobs are no
    longer there; digests and sizes stay. In batches; it can be begun again at any time."""
    over = Job.objects.filter(state__in=FINAL, finished_at__lt=before)
    over = over.filter(texts_gone__isnull=True).order_by("id")
    jobs = sum(iter(lambda: _drop_batch(over[:_BATCH]), 0))
    submitted = AuditEntry.objects.filter(
        action=Event.SUBMITTED, timestamp__lt=before, request__has_key="source"
    )
    stays = Job.objects.filter(pk=OuterRef("job_id"), texts_gone__isnull=True)
    entries = rewriting.rewrite(submitted.exclude(Exists(stays)), _without_texts)
    if jobs or entries:
        told = {"jobs": jobs, "entries": entries, "before": before.isoformat()}
        with transaction.atomic():
            audit.record(Entry(actor, TEXTS_DROPPED, request=told))
    return Dropped(jobs, entries)


@transaction.atomic
def _drop_batch(some: QuerySet[Job]) -> int:
    jobs = list(some.select_for_update(skip_locked=True))
    with _counted([job.pk for job in jobs]):
        for job in jobs:
            texts = {job.filename: job.source, **job.sources, **job.includes}
            gone = {"at": timezone.now().isoformat(), "files": proofs(texts)}
            _drop(job, gone, compile_log=b"", execute_log=b"")
    return len(jobs)


@contextmanager
def _counted(ids: list[int]) -> Iterator[None]:
    """What is taken from these jobs inside is taken from what is counted of their users."""
    jobs = Job.objects.filter(pk__in=ids)
    before = sizes.by_user(jobs)
    yield
    after = sizes.by_user(jobs)
    counting.subtract(
        {
            user: Bytes(*(old - new for old, new in zip(was, after[user], strict=True)))
            for user, was in before.items()
        }
    )


def forget(job_id: int) -> bool:
    """Leaves of a job that is over what says nothing of its owner: times, states, hosts. False, and
    nothing is done, if it is not over.

    Whoever still has a lease of it has it no longer. In the caller's transaction. Raises NotFound.
    """
    job = locked(job_id)
    if not job.is_over:
        return False
    with _counted([job_id]):
        _forget(job)
    return True


def _forget(job: Job) -> None:
    for attempt in job.attempts.all():
        pieces.drop(attempt.lease_token)
        attempt.files.all().delete()
        job.attempts.filter(pk=attempt.pk).update(lease_token=secrets.token_urlsafe(32))
    unknown = {"compile_log": b"", "execute_log": b"", "details": {}, "result_digest": ""}
    Job.objects.filter(pk=job.pk).update(
        filename=FORGOTTEN,
        args=[],
        flags=[],
        file_names=[],
        idempotency_key=None,
        request_digest="",
    )
    _drop(job, {"at": timezone.now().isoformat(), "why": FORGOTTEN}, **unknown, reason="")


def _drop(job: Job, gone: dict[str, Any], **attempts: Any) -> None:
    Job.objects.filter(pk=job.pk).update(
        source="", sources={}, includes={}, texts_gone=gone, version=F("version") + 1
    )
    job.attempts.update(**attempts)
    waiting.announce(job.pk)


@transaction.atomic
def say_of_attempt(attempt_id: int, reworded: Callable[[str], str]) -> None:
    """Why it ended, in other words than those that are there now."""
    one = Attempt.objects.filter(pk=attempt_id)
    for reason in list(one.select_for_update(no_key=True).values_list("reason", flat=True)):
        one.update(reason=reworded(reason))


def _without_texts(entry: AuditEntry) -> Rewritten:
    """What an entry of a submission keeps: digests and sizes in place of texts."""
    request = dict(entry.request)
    main = {str(request.get("filename")): request.pop("source", "")}
    texts = {**main, **request.pop("sources", {}), **request.pop("includes", {})}
    return Rewritten(entry.username, {**request, "not_kept": proofs(texts)}, entry.address)


def proofs(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    """By which a text can be known again: `sha256sum FILE` says the same."""
    return {
        name: {
            "sha256": sha256(text.encode()).hexdigest(),
            "bytes": len(text.encode()),
        }
        for name, text in texts.items()
    }


# --- A user is deleted, and their jobs with them: signals of Django's ---------------------


def note_jobs(instance: User, **_signal: Any) -> None:
    """Before: which jobs will go, locked, as by all who delete them."""
    instance.deleted_jobs = list(  # type: ignore[attr-defined]
        Job.objects.select_for_update()
        .filter(user=instance)
        .order_by("id")
        .values_list("pk", flat=True)
    )


def record_jobs(instance: User, **_signal: Any) -> None:
    """After, because the audit counter is the last lock that a transaction takes."""
    if ids := instance.deleted_jobs:  # type: ignore[attr-defined]
        audit.record(_jobs_deleted(SYSTEM, ids, f"user {instance.username} was deleted"))


def has_jobs(user: User) -> bool:
    """Whether the user has any, which go with the account."""
    return Job.objects.filter(user=user).exists()
