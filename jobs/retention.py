"""Deleting jobs for good. The audit log stays, and says which jobs are gone and why."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from jobs import audit, outputs
from jobs.audit import Entry
from jobs.kept import counting, sizes
from jobs.kept.counting import Bytes
from jobs.models import Job, Kept
from jobs.states import FINAL
from jobs.transitions import SYSTEM

JOBS_DELETED = "jobs-deleted"


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
