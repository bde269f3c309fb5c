"""How the queue is: what waits and runs, since when, and which executor has been heard of."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Min

from accounts.models import Executor
from jobs import failures, room
from jobs.models import Attempt, FailuresSeen, Job
from jobs.room import Room
from jobs.states import State

SHOWN_STATES = (State.QUEUED, State.RUNNING, State.FAILED)  # staff need not look at the others


class Overview(NamedTuple):
    """What the admin's front page begins with."""

    counts: list[tuple[State, int]]
    waiting_since: datetime | None
    executors: list[tuple[Executor, list[int]]]  # each with the ids of the jobs that it runs
    nobody_serves: bool
    seen: FailuresSeen | None
    new_failures: int  # since then
    room: Room


def now() -> Overview:
    """As the database is at this moment; eight queries, whatever the queue's length."""
    jobs = Job.objects.filter(state__in=SHOWN_STATES).order_by()
    counts = dict(jobs.values_list("state").annotate(Count("pk")))
    running = _running_jobs()
    executors = Executor.objects.prefetch_related("gpus")
    return Overview(
        counts=[(state, counts.get(state, 0)) for state in SHOWN_STATES],
        waiting_since=Job.objects.filter(state=State.QUEUED)
        .order_by()
        .aggregate(first=Min("submitted_at"))["first"],
        executors=[(executor, running.get(executor.pk, [])) for executor in executors],
        nobody_serves=not any(e.enabled and e.is_alive for e in executors),
        seen=(seen := failures.seen()),
        new_failures=failures.count_since(seen),
        room=room.now(),
    )


def _running_jobs() -> dict[int | None, list[int]]:
    """By executor; None for those of a deleted one."""
    running: dict[int | None, list[int]] = {}
    attempts = Attempt.objects.open().order_by("lease_expires_at")  # the index of the open ones
    for executor_id, job_id in attempts.values_list("executor_id", "job_id"):
        running.setdefault(executor_id, []).append(job_id)
    return running
