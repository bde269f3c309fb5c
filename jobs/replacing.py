"""Which job took the place of one that made way in the queue."""

from foundation.database.statements import Parameter, Select
from jobs.audit.models import AuditEntry
from jobs.models import Job
from jobs.states import Event, State

# How a job that is cancelled came to be so: its last entry of these. The audit log has it anyway,
# and only cancelled jobs are asked about.
_CANCELLED = Select(
    AuditEntry.objects.filter(
        job_id=Parameter("job"), action__in=(Event.REPLACED, Event.CANCELLED)
    ).order_by("-id")[:1]
)


def replaced_by(job: Job) -> int | None:
    """The user's job that replaced it; None for one that was not replaced."""
    if job.state != State.CANCELLED or job.started_at is not None:
        return None
    entry = _CANCELLED.first(job=job.pk)
    return entry.request.get("replaced_by") if entry and entry.action == Event.REPLACED else None
