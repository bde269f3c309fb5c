"""Cancelling, by the job's owner or by staff."""

from django.db import transaction
from django.utils import timezone

from jobs import audit
from jobs.audit import Entry
from jobs.errors import AlreadyOver
from jobs.models import Job
from jobs.states import Ending, Event, State
from jobs.transitions import end_without_result, locked, move


@transaction.atomic
def cancel(job_id: int, actor: str) -> Job:
    """Cancels a queued job, or asks the executor of a running one to stop it.

    Idempotent while the job is not over. Raises NotFound, AlreadyOver.
    """
    job = locked(job_id)
    if job.is_over:
        raise AlreadyOver(f"Job {job.pk} is {job.state} already.")
    if job.state == State.QUEUED:
        move(job, Event.CANCELLED, finished_at=timezone.now())
        audit.record(Entry(actor, Event.CANCELLED, job.pk))
    elif job.cancel_requested_at is None:
        move(job, Event.CANCEL_REQUESTED, cancel_requested_at=timezone.now())
        audit.record(Entry(actor, Event.CANCEL_REQUESTED, job.pk))
    return job


@transaction.atomic
def end_now(job_id: int, actor: str) -> bool:
    """Cancels a job without waiting for its executor, which loses its lease; False if it was over.

    Raises NotFound.
    """
    job = locked(job_id)
    if job.is_over:
        return False
    cancel(job_id, actor)
    if attempt := job.attempts.open().first():
        job.refresh_from_db()
        end_without_result(job, attempt, Ending.CANCELLED, "it was cancelled", actor)
    return True
