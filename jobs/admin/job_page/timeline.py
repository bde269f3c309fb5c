"""What happened to a job, in the order in which it did."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from foundation import figures
from jobs.audit.history import Happening
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, Outcome, Phase
from jobs.words import OUTCOMES, signal_name

_LOST = {
    Ending.EXPIRED: "its host was lost",
    Ending.RELEASED: "its host gave it back",
    Ending.REQUEUED: "was taken away",
    Ending.CANCELLED: "was cancelled",
}
# What has no attempt of its own on the page, in words.
_ACTIONS = {
    Event.REQUEUED: "had it run again",
    Event.CANCEL_REQUESTED: "cancelled it while it ran",
    Event.CANCELLED: "cancelled it",
    Event.REPLACED: "replaced it",
    "platform-changed": "changed its platform",
}


class Moment(NamedTuple):
    """Something that happened."""

    at: datetime
    who: str  # "" for an attempt
    words: str
    other: int | None = None  # a job that took its place
    attempt: Attempt | None = None
    phases: list[str] = []  # noqa: RUF012  (never changed)


def timeline_of(
    job: Job, attempts: Sequence[Attempt], history: Sequence[Happening]
) -> list[Moment]:
    """From its submission to its end."""
    found = [Moment(job.submitted_at, job.user.get_username(), "submitted it")]
    found += [of_attempt(attempt) for attempt in attempts]
    for entry in history:
        is_by_host = entry.actor.startswith("executor:") or entry.actor == "system"
        if entry.action in _ACTIONS and not is_by_host:  # the attempts say what hosts did
            found.append(_of_entry(entry))
    return sorted(found, key=lambda moment: moment.at)


def _of_entry(entry: Happening) -> Moment:
    words = _ACTIONS[entry.action]
    if entry.action == "platform-changed":
        words += f" from {entry.request.get('was')} to {entry.request.get('platform')}"
    return Moment(entry.at, entry.actor, words, entry.replaced_by)


def of_attempt(attempt: Attempt) -> Moment:
    """That it began; and how it went on."""
    return Moment(attempt.started_at, "", _ending(attempt), None, attempt, phases_of(attempt))


def _ending(attempt: Attempt) -> str:
    if not attempt.ending:
        return "is at work"
    words = _LOST.get(Ending(attempt.ending), "")
    if attempt.outcome:
        words = OUTCOMES.get(Outcome(attempt.outcome), attempt.outcome)
    if attempt.ending == Ending.SUPERSEDED:
        words += " (superseded: it was run again)"
    if attempt.signal:
        words += f"; signal {attempt.signal}{signal_name(attempt.signal)}"
    elif attempt.exit_code:
        words += f"; exit status {attempt.exit_code}"
    return f"{words}: {attempt.reason}" if attempt.reason else words


def phases_of(attempt: Attempt) -> list[str]:
    """How long it took, as far as that is known: "compiled in 2.86 s", "ran 1.31 s"."""
    found = []
    if attempt.compile_seconds:
        was_kept = attempt.details.get("compiled_before")
        before = ", kept from before" if was_kept else ""
        has_program = not attempt.outcome.startswith("compile")
        took = "compiled in" if has_program else "the compiler took"
        found.append(f"{took} {figures.duration(attempt.compile_seconds)}{before}")
    if attempt.execute_seconds is not None and attempt.ended_at:
        all_of_it = (attempt.ended_at - attempt.started_at).total_seconds()
        compiled = 0.0 if attempt.details.get("compiled_before") else attempt.compile_seconds or 0.0
        waited = all_of_it - compiled - attempt.execute_seconds
        if waited >= 0.1:
            found.append(f"waited {figures.duration(waited)}")
        found.append(f"ran {figures.duration(attempt.execute_seconds)}")
    if not found and attempt.ended_at:
        seconds = (attempt.ended_at - attempt.started_at).total_seconds()
        found.append(f"after {figures.duration(max(0.0, seconds))}")
    return found


def moment(at: datetime) -> str:
    """A moment in words: "14:03", or with its day for one that is not today's."""
    local = timezone.localtime(at)
    is_today = local.date() == timezone.localdate()
    return local.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")


def is_late(job: Job, attempts: Sequence[Attempt]) -> bool:
    """Whether the executor that runs it was not heard of until its lease ran out."""
    last: Any = attempts[-1] if attempts else None
    is_open = last is not None and last.ended_at is None and job.phase in Phase.values
    return is_open and last.lease_expires_at < timezone.now()
