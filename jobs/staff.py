"""What only staff do to a job: have it run again."""

from django.db import transaction

from courses import limits
from jobs import audit
from jobs.audit import Entry
from jobs.models import Job
from jobs.states import Ending, Event, State
from jobs.transitions import end, end_without_result, locked, move


@transaction.atomic
def requeue(job_id: int, actor: str) -> Job:
    """Has the job run (again), with all its attempts before it.

    A running attempt loses its lease; an earlier result stays in the history. A queued job
    is left as it is, and a running one whose cancel was asked for is cancelled.
    Raises NotFound.
    """
    job = locked(job_id)
    was_over = job.is_over
    if job.state == State.QUEUED:
        return job
    if attempt := job.attempts.open().first():
        if job.cancel_requested_at is not None:
            end_without_result(job, attempt, Ending.REQUEUED, f"by {actor}", actor)
            return job
        end(attempt, Ending.REQUEUED, reason=f"by {actor}")
    job.attempts.filter(ending=Ending.FINISHED).update(ending=Ending.SUPERSEDED)
    move(
        job,
        Event.REQUEUED,
        phase="",
        outcome="",
        started_at=None,
        finished_at=None,
        cancel_requested_at=None,
        attempts_left=limits.max_attempts(),
    )
    request = {"reason": f"by {actor}", "was_over": was_over}
    audit.record(Entry(actor, Event.REQUEUED, job.pk, request))
    return job
