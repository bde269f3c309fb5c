"""What the audit log says of one job: who cancelled it, who had it run again, what replaced it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from jobs.audit.models import AuditEntry
from jobs.states import Event

MOST = 50  # of a job's entries: a job that hosts gave back for days has many


class Happening(NamedTuple):
    """One entry about a job. Its submission is none: the job's own row has it."""

    at: datetime
    actor: str  # a user's name, `executor:NAME`, "system" or "command"
    action: str  # an Event, or what else is recorded of a job
    request: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why, in words; "" if that was not said."""
        return str(self.request.get("reason", ""))

    @property
    def replaced_by(self) -> int | None:
        """The job that took its place."""
        return self.request.get("replaced_by")


def history_of(job_id: int, most: int = MOST) -> list[Happening]:
    """The job's entries, newest first, without its submission. By an index; not for the hub."""
    entries = AuditEntry.objects.filter(job_id=job_id).exclude(action=Event.SUBMITTED)
    columns = ("timestamp", "username", "action", "request")
    return [Happening(*row) for row in entries.order_by("-id").values_list(*columns)[:most]]


def who_cancelled(history: Sequence[Happening]) -> Happening | None:
    """Of a cancelled job's history: who asked for it, and when; None if that is not known.

    A job that ran was stopped by its executor later: who asked counts. `action` is
    Event.REPLACED for a job that made way for another one of its owner.
    """
    found = None
    for entry in history:
        if entry.action in (Event.CANCELLED, Event.CANCEL_REQUESTED, Event.REPLACED):
            found = entry
        elif entry.action == Event.REQUEUED:  # what is older is of an earlier life
            break
    return found


def who_requeued(history: Sequence[Happening]) -> Happening | None:
    """Who had the job run again last, by hand; None: nobody. Hosts that gave it back are no who."""
    requeued = (e for e in history if e.action == Event.REQUEUED and "was_over" in e.request)
    return next(requeued, None)
