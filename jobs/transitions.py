"""The only writer of jobs' states: one conditional update along the table of `states`.

The modules of those who act call these, inside a transaction that holds the job's row:
`submitting`, `claiming`, `reporting`, `cancelling`, `staff`, `leases`. Each of their operations
is one transaction, with its audit entry. Locks are taken in one order, so that no two operations
wait for each other: bulk action, user, job, attempt, the user's `Kept`, and the audit counter last.
"""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import OperationalError
from django.utils import timezone

from foundation.database.statements import Parameter, Select, update
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import audit, states
from jobs.audit import Entry
from jobs.errors import Conflict
from jobs.kept import counting
from jobs.live.pieces import partial_logs
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, State

log = logging.getLogger(__name__)

SYSTEM = "system"  # the audit log's name for the queue itself
LOGS = ("compile_log", "execute_log")
UNCOUNTED_ATTEMPTS = 20  # of a job; from there on each one counts, whoever gave it back

_LOCKED_JOB = Select(
    Job.objects.select_for_update(no_key=True).filter(pk=Parameter("job")).order_by()
)
_QUEUED_OF_USER = Select(
    Job.objects.filter(user=Parameter("user"), state=State.QUEUED)
    .order_by("id").only("id", "platform")
)  # fmt: skip


def locked(job_id: int) -> Job:
    """The job, its row locked until the transaction ends. Raises NotFound."""
    job = _LOCKED_JOB.first(job=job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def move(job: Job, event: Event, **changes: Any) -> None:
    """Moves a locked job along the table, with further changes of its row, and announces it.

    `job` is afterwards as its row is. Raises IllegalTransition, and Conflict if the row was
    not as `job` says: that cannot happen to a locked one, and is checked all the same.
    """
    changes = {**changes, "state": states.after(job.state, event), "version": job.version + 1}
    as_it_was = {"id": job.pk, "state": job.state, "version": job.version}
    if not update(Job, as_it_was, **changes):
        raise Conflict(f"Job {job.pk} changed at the same moment. Try again.")
    for name, value in changes.items():
        setattr(job, name, value)
    waiting.announce(job.pk, job.platform if job.state == State.QUEUED else None)


def queued_of(user_id: int) -> list[Job]:
    """The user's jobs that wait, oldest first: their keys and platforms."""
    return _QUEUED_OF_USER.all(user=user_id)


def announce_again(queued: Sequence[Job]) -> None:
    """Says of jobs of one user that they wait, to executors that have just passed over them.

    A claim passes over a user whose row is locked. One job a platform is announced, the oldest: the
    claim that takes it announces the next.
    """
    for platform, first in {job.platform: job.pk for job in reversed(queued)}.items():
        waiting.announce(first, platform)


def end(job: Job, attempt: Attempt, ending: Ending, **changes: Any) -> bool:
    """Ends an open attempt of the job; False if it had ended, and then `attempt` says how.

    Without a result it keeps what was streamed of its output.
    """
    if ending != Ending.FINISHED:
        changes = {**_streamed(attempt), **changes}
    is_open = {"id": attempt.pk, "ended_at": None}
    ended = update(Attempt, is_open, ended_at=timezone.now(), ending=ending, **changes)
    if not ended:
        attempt.refresh_from_db(fields=("ended_at", "ending", "result_digest"))
        return False
    files = 0 if ending == Ending.FINISHED else _delete_files(attempt)  # which no result lists
    counting.add(job.user_id, logs=sum(len(changes.get(log, b"")) for log in LOGS), files=-files)
    return True


def _delete_files(attempt: Attempt) -> int:
    """Deletes its output files; how many bytes they had."""
    sizes = [*attempt.files.values_list("size", flat=True)]
    if sizes:
        attempt.files.all().delete()
    return sum(sizes)


def _streamed(attempt: Attempt) -> dict[str, bytes]:
    """Its logs as far as they were sent while it ran."""
    try:
        return partial_logs(attempt.lease_token)
    except OperationalError as error:  # SQLite's other file: the job's end does not depend on it
        log.warning("What attempt %s printed is not kept: %s", attempt.pk, error)
        return {}


def end_without_result(
    job: Job,
    attempt: Attempt,
    ending: Ending,
    reason: str,
    actor: str,
    *,
    counts: bool = True,
    **logs: Any,
) -> bool:
    """Ends an attempt without a result; its job waits again, or has failed after the last attempt.

    One that does not count leaves the job as many attempts as it had before, unless there were
    UNCOUNTED_ATTEMPTS already: a job that every host gives back must come to an end. `logs` of it
    count more than what was streamed. False, and nothing is done, if the attempt had ended already.
    """
    now = timezone.now()
    left = job.attempts_left + (not counts and attempt.number <= UNCOUNTED_ATTEMPTS)
    event, changes = Event.FAILED, {"finished_at": now}
    if job.cancel_requested_at is not None:
        event, ending = Event.CANCELLED, Ending.CANCELLED
    elif left > 0:
        event, changes = Event.REQUEUED, {"started_at": None, "attempts_left": left}
    if not end(job, attempt, ending, reason=reason[:500], **logs):
        return False
    move(job, event, phase="", **changes)
    audit.record(Entry(actor, event, job.pk, {"attempt": attempt.number, "reason": reason}))
    return True
