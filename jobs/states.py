"""The state machine of a job, as one table. `transitions.py` alone moves a job."""

from django.db.models import TextChoices


class State(TextChoices):
    """Where a job is in its life."""

    QUEUED = "queued"  # waiting for an executor
    RUNNING = "running"  # one attempt holds a lease
    FINISHED = "finished"  # a result arrived; `outcome` says which
    CANCELLED = "cancelled"  # stopped by its owner or by staff
    FAILED = "failed"  # no result after the attempt limit: the system's fault


FINAL = (State.FINISHED, State.CANCELLED, State.FAILED)


class Phase(TextChoices):
    """What the attempt of a running job is doing."""

    COMPILING = "compiling"
    WAITING = "waiting"  # compiled, waits for a GPU
    EXECUTING = "executing"


class Outcome(TextChoices):
    """What became of a finished job."""

    SUCCEEDED = "succeeded"
    COMPILE_ERROR = "compile_error"
    COMPILE_TIMEOUT = "compile_timeout"
    RUNTIME_ERROR = "runtime_error"
    RUNTIME_TIMEOUT = "runtime_timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_EXCEEDED = "output_exceeded"


class Ending(TextChoices):
    """How an attempt ended; an open attempt has none."""

    FINISHED = "finished"  # its result is the job's result
    SUPERSEDED = "superseded"  # it was, until staff had the job run again
    EXPIRED = "expired"  # the executor was not heard of until the lease ran out
    RELEASED = "released"  # the executor gave the job back
    REQUEUED = "requeued"  # staff took the job away from it
    CANCELLED = "cancelled"  # the job was cancelled while it ran


class Event(TextChoices):
    """What can happen to a job; also the `action` of its audit entry."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    FINISHED = "finished"
    REQUEUED = "requeued"
    CANCEL_REQUESTED = "cancel-requested"
    CANCELLED = "cancelled"
    FAILED = "failed"
    REPLACED = "replaced"


class IllegalTransition(Exception):
    """The event cannot happen to a job in that state."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.CLAIMED): State.RUNNING,
    (State.QUEUED, Event.CANCELLED): State.CANCELLED,
    (State.QUEUED, Event.REPLACED): State.CANCELLED,
    (State.RUNNING, Event.FINISHED): State.FINISHED,
    (State.RUNNING, Event.REQUEUED): State.QUEUED,
    (State.RUNNING, Event.CANCEL_REQUESTED): State.RUNNING,
    (State.RUNNING, Event.CANCELLED): State.CANCELLED,
    (State.RUNNING, Event.FAILED): State.FAILED,
    # Staff may have any job run again.
    (State.FINISHED, Event.REQUEUED): State.QUEUED,
    (State.CANCELLED, Event.REQUEUED): State.QUEUED,
    (State.FAILED, Event.REQUEUED): State.QUEUED,
}


def after(state: str, event: Event) -> State:
    """The state that `event` leads to. Raises IllegalTransition where the table has none."""
    try:
        return TRANSITIONS[State(state), event]
    except KeyError:
        raise IllegalTransition(f"a job that is {state} cannot be {event}") from None
