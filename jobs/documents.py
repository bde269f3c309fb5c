"""What the API shows, as plain dictionaries: a serializer would cost more than the database.

`docs/api.md` describes the members. Times are datetimes; the renderer writes ISO 8601 in UTC.
"""

from typing import Any

from django.conf import settings

from jobs.models import Attempt, Job
from jobs.states import Ending, State
from telerun_site.statements import Parameter, Select

_ATTEMPTS = Select(Attempt.objects.filter(job=Parameter("job")).order_by("number"))


def summary(job: Job, position: int | None) -> dict[str, Any]:
    """A job in a list: everything but its source, its result and its history."""
    return {
        "id": job.pk,
        "state": job.state,
        "phase": job.phase or None,
        "outcome": job.outcome or None,
        "filename": job.filename,
        "args": job.args,
        "queue_position": position,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "cancel_requested_at": job.cancel_requested_at,
    }


def whole(job: Job, position: int | None) -> dict[str, Any]:
    """A job with its attempts and, if it is finished, its result."""
    attempts = _attempts(job)
    held = attempts and not (job.state in (State.QUEUED, State.CANCELLED) and not job.started_at)
    result = next((a for a in attempts if a.ending == Ending.FINISHED), None)
    return {
        **summary(job, position),
        "attempts": [_attempt(attempt) for attempt in attempts],
        "executor": attempts[-1].executor_name if held else None,
        "result": _result(result) if result and job.state == State.FINISHED else None,
    }


def claimed(attempt: Attempt) -> dict[str, Any]:
    """What the executor gets: its attempt's lease, and the job to run."""
    job = attempt.job
    return {
        "attempt": {
            "id": attempt.pk,
            "number": attempt.number,
            "lease_token": attempt.lease_token,
            "lease_seconds": settings.TELERUN_LEASE_SECONDS,
        },
        "job": {
            "id": job.pk,
            "source": job.source,
            "filename": job.filename,
            "args": job.args,
            "limits": settings.TELERUN_LIMITS,
        },
    }


def log(data: Any) -> str:
    """Bytes as a JSON string: lossless, by `surrogateescape` (PEP 383, docs/adr/0003)."""
    return bytes(data).decode("utf-8", "surrogateescape")


def _attempts(job: Job) -> list[Attempt]:
    if job.version == 1:  # new: there can be none
        return []
    return _ATTEMPTS.all(job=job.pk)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "executor": attempt.executor_name,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "ending": attempt.ending or None,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
    }


def _result(attempt: Attempt) -> dict[str, Any]:
    return {
        "compile_log": log(attempt.compile_log),
        "execute_log": log(attempt.execute_log),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "compile_seconds": attempt.compile_seconds,
        "execute_seconds": attempt.execute_seconds,
        "files": attempt.details.get("files", []),
        "details": {k: v for k, v in attempt.details.items() if k != "files"},
    }
