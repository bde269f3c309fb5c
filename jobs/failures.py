"""Jobs that failed: which are new since staff last said that they have looked."""

from datetime import datetime

from django.db import transaction

from jobs import audit
from jobs.audit import Entry
from jobs.models import FailuresSeen, Job
from jobs.states import State

_ROW = 1  # there is no other


def seen() -> FailuresSeen | None:
    """Until when they were looked at, and by whom; None: never."""
    return FailuresSeen.objects.filter(pk=_ROW).first()


def count_since(seen: FailuresSeen | None) -> int:
    """How many have failed since."""
    failed = Job.objects.filter(state=State.FAILED).order_by()
    return (failed.filter(finished_at__gt=seen.until) if seen else failed).count()


@transaction.atomic
def mark_seen(until: datetime, actor: str) -> None:
    """Those that failed until then have been looked at. It never goes back."""
    before = seen()
    if before is None or before.until < until:
        FailuresSeen(pk=_ROW, until=until, actor=actor).save()
        audit.record(Entry(actor, "failures-seen", request={"until": until.isoformat()}))
