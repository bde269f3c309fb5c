"""Doing a bulk action: one job a transaction, a few at a time, in the background of each server.

A job that is run again goes behind everyone who waits, and only while few wait for its platform:
until then it keeps its result, and tonight's students keep their places.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.utils import timezone

from foundation import ranges
from foundation.figures import counted
from foundation.problems import Problem
from foundation.serving import greenlets, waiting
from foundation.serving.greenlets import in_a_thread
from jobs import audit, cancelling, staff
from jobs.audit import Entry
from jobs.bulk.models import BulkAction, Kind
from jobs.models import Job

log = logging.getLogger(__name__)

SHORT = 8  # jobs that wait for a platform; while there are as many, none is run again for it
EVERY_SECONDS = 1.0
BUSY_SECONDS = 0.25  # of each of these, so that others write in between

_OPERATIONS: dict[str, Callable[[int, str], Any]] = {
    Kind.REQUEUE: lambda job_id, actor: staff.requeue(job_id, actor, behind=True),
    Kind.CANCEL: cancelling.cancel,
}


@transaction.atomic
def begin(kind: Kind, jobs: Sequence[int], actor: str) -> BulkAction:
    """Has it done by the servers, from now on."""
    written = ranges.written(jobs)
    bulk = BulkAction(
        kind=kind, actor=actor, begun_at=timezone.now(), count=len(jobs), jobs=written
    )
    bulk.save()
    about = {"reason": f"{Kind(kind).label}: {counted(len(jobs), 'job')}", "jobs": written}
    audit.record(_entry(bulk, actor, "begun", **about))
    return bulk


@transaction.atomic
def stop(key: int, actor: str) -> bool:
    """Leaves what is left as it is; False if it had ended already."""
    bulk = BulkAction.objects.select_for_update().filter(pk=key, ended_at=None).first()
    if bulk is None:
        return False
    bulk.ended_at, bulk.stopped_by = timezone.now(), actor
    bulk.save(update_fields=["ended_at", "stopped_by"])
    left = counted(bulk.left, "job was left", "jobs were left")
    audit.record(_entry(bulk, actor, "stopped", reason=left))
    return True


def _entry(bulk: BulkAction, actor: str, what: str, **about: Any) -> Entry:
    return Entry(actor, f"bulk-action-{what}", request={"name": str(bulk), **about})


def work() -> int:
    """Does some of what there is to do, for BUSY_SECONDS at most; returns how many jobs."""
    until = time.monotonic() + BUSY_SECONDS
    unended = BulkAction.objects.filter(ended_at=None).order_by("id").values_list("pk", flat=True)
    done = 0
    for key in list(unended):
        while time.monotonic() < until and _next(key):
            done += 1
    return done


@transaction.atomic
def _next(key: int) -> bool:
    """Does the next job; False if there is none for now, or another server does one."""
    unended = BulkAction.objects.filter(pk=key, ended_at=None)
    bulk = unended.select_for_update(skip_locked=True).first()
    if bulk is None:
        return False
    if bulk.next_job is None:
        bulk.ended_at = timezone.now()
        bulk.save(update_fields=["ended_at"])
        return False
    job = Job.objects.filter(pk=bulk.next_job).without_texts().first()
    if job and bulk.kind == Kind.REQUEUE and _many_wait_for(job.platform):
        return False
    if job and not _has_ended_since(job, bulk) and _do(bulk, job):
        bulk.done += 1
    else:
        bulk.refused += 1
    bulk.last_job = bulk.next_job
    bulk.save(update_fields=["last_job", "done", "refused"])
    return True


def _do(bulk: BulkAction, job: Job) -> bool:
    """Whether it could be done."""
    try:
        with transaction.atomic():
            _OPERATIONS[bulk.kind](job.pk, bulk.actor)
    except Problem:  # it is over already, or gone
        return False
    except (OperationalError, InterfaceError):  # the database's hardship, not the job's
        raise
    except Exception:  # one job never holds up all that come after it
        log.exception("%s: job %d was left as it is", bulk, job.pk)
        return False
    return True


def _has_ended_since(job: Job, bulk: BulkAction) -> bool:
    """Whether the job has ended anew after the action was begun: nobody has seen that result."""
    return job.finished_at is not None and job.finished_at > bulk.begun_at


def _many_wait_for(platform: str) -> bool:
    return len(Job.objects.queued(platform).values_list("pk")[:SHORT]) == SHORT


def start() -> greenlets.Running:
    """Works in this process, until the server stops."""
    return greenlets.spawn(_run, "bulk actions")


def _run() -> None:
    while not waiting.stopping.wait(EVERY_SECONDS):
        in_a_thread(_round)


def _round() -> None:
    close_old_connections()
    try:
        work()
    except DatabaseError as error:
        log.warning("A bulk action waits for the database: %s", str(error).strip())
    except Exception:  # the next round tries again
        log.exception("A bulk action could not go on")
    finally:
        connection.close()
