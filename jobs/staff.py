"""What only staff do: have a job run again, name the platform otherwise that jobs wait for."""

from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts import platforms
from courses import limits
from foundation.serving import waiting
from jobs import audit
from jobs.audit import Entry
from jobs.errors import NoLongerKept
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, State
from jobs.transitions import end, end_without_result, locked, move


@transaction.atomic
def requeue(job_id: int, actor: str, *, behind: bool = False) -> Job:
    """Has the job run (again), with all its attempts before it; in its old place, or `behind`
    everyone who waits, as if its owner had just been served.

    A running attempt loses its lease; an earlier result stays in the history. A queued job
    is left as it is, and a running one whose cancel was asked for is cancelled.
    Raises NotFound, NoLongerKept.
    """
    job = locked(job_id)
    was_over = job.is_over
    if job.state == State.QUEUED:
        return job
    if job.texts_gone:
        raise NoLongerKept(
            f"The files of job {job_id} are no longer kept, so that it cannot run again."
        )
    if attempt := job.attempts.open().first():
        if job.cancel_requested_at is not None:
            end_without_result(job, attempt, Ending.REQUEUED, f"by {actor}", actor)
            return job
        end(job, attempt, Ending.REQUEUED, reason=f"by {actor}")
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
        **({"turn": _after_all_turns()} if behind else {}),
    )
    request = {"reason": f"by {actor}", "was_over": was_over}
    audit.record(Entry(actor, Event.REQUEUED, job.pk, request))
    return job


def _after_all_turns() -> int:
    """Behind whoever was served last too, and before whoever is served from now on."""
    return Attempt.objects.aggregate(last=Max("pk", default=0))["last"] + 1


def follow_new_name(actor: str, old: str, new: str, **_signal: Any) -> None:
    """Receives accounts.signals.platform_renamed: if nobody offers the old name any longer, the
    jobs that wait for it wait for the new one."""
    if any(offer.name == old for offer in platforms.offered(now=True)):
        return
    with transaction.atomic():
        queued = Job.objects.select_for_update().filter(state=State.QUEUED, platform=old)
        for job in queued.without_texts():
            Job.objects.filter(pk=job.pk).update(platform=new, version=job.version + 1)
            waiting.announce(job.pk, new)
            request = {"platform": new, "was": old}
            audit.record(Entry(actor, "platform-changed", job.pk, request))
