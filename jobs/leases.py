"""Leases: an attempt's right to report, for as long as its executor is heard of."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs.models import Attempt
from jobs.states import Ending
from jobs.transitions import SYSTEM, end_without_result, locked

log = logging.getLogger(__name__)


def seconds() -> int:
    """How long a lease lasts after a claim or a heartbeat."""
    return settings.TELERUN_LEASE_SECONDS


def length() -> timedelta:
    """The same, to be added to a time."""
    return timedelta(seconds=seconds())


def renew_all() -> int:
    """Gives every open attempt a whole lease from now, after the clock was set; returns how many.

    Set forward, the clock would end all leases at once; set back, it would keep those of dead
    executors alive for as long.
    """
    renewed = Attempt.objects.open().update(lease_expires_at=timezone.now() + length())
    log.warning("The clock was set: %d leases begin anew.", renewed)
    return renewed


def expire(now: datetime | None = None) -> int:
    """Takes back every job whose lease has run out, and returns how many."""
    now = now or timezone.now()
    late = Attempt.objects.expired(now).order_by("lease_expires_at").values_list("pk", "job_id")
    return sum(_expire(attempt_id, job_id, now) for attempt_id, job_id in list(late))


@transaction.atomic
def _expire(attempt_id: int, job_id: int, now: datetime) -> bool:
    job = locked(job_id)
    attempt = Attempt.objects.expired(now).filter(pk=attempt_id).first()
    if attempt is None:  # it reported, or renewed its lease, just before
        return False
    reason = f"nothing was heard of {attempt.executor_name} until its lease ran out"
    end_without_result(job, attempt, Ending.EXPIRED, reason, SYSTEM)
    log.warning("Job %s is taken back: %s.", job.pk, reason)
    return True
