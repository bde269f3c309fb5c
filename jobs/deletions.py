"""Deleting a user deletes their jobs: the audit log says which."""

from typing import Any

from accounts.models import User
from jobs import audit
from jobs.models import Job
from jobs.operations import SYSTEM, jobs_deleted


def note_jobs(instance: User, **_signal: Any) -> None:
    """Before: which jobs will go."""
    instance.deleted_jobs = list(  # type: ignore[attr-defined]
        Job.objects.filter(user=instance).order_by("id").values_list("pk", flat=True)
    )


def record_jobs(instance: User, **_signal: Any) -> None:
    """After, because the audit counter is the last lock that a transaction takes."""
    if ids := instance.deleted_jobs:  # type: ignore[attr-defined]
        audit.record(jobs_deleted(SYSTEM, ids, f"user {instance.username} was deleted"))
