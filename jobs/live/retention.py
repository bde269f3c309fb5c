"""How long live output is kept, and how much of it in all. Looked after beside the sweep."""

import logging
import time
from datetime import timedelta

from django.utils import timezone

from foundation.database import connections
from jobs.live.pieces import key_of
from jobs.models import Attempt

log = logging.getLogger(__name__)

# After an attempt's end, for those who are still reading: then its result's log counts.
KEPT_FOR = timedelta(seconds=60)
MAX_BYTES = 512 * 1024 * 1024  # of all attempts; past it nothing more is kept
PIECE_COSTS = 100  # bytes of the database, beside what is in it

_NEXT_KEY = "SELECT key, attempt_id FROM jobs_livepiece WHERE key > %s ORDER BY key LIMIT 1"
_DROP = "DELETE FROM jobs_livepiece WHERE key = %s"
_SIZE = "SELECT COUNT(*), COALESCE(SUM(stop - start), 0) FROM jobs_livepiece"
_DROP_WATCHERS = "DELETE FROM jobs_livewatch WHERE until < %s"


class _Room:
    """Whether there is any, as the last look found it."""

    is_left = True


_room = _Room()


def has_room() -> bool:
    """Whether more may be kept."""
    return _room.is_left


def look_after() -> None:
    """Throws away what nobody will ask for again, and measures the rest. Not for the hub.

    Raises DatabaseError.
    """
    rows, key = connections.scratch().rows, -1
    while found := rows(_NEXT_KEY, key):
        ((key, attempt_id),) = found
        if not _is_needed(key, attempt_id):
            rows(_DROP, key)
    rows(_DROP_WATCHERS, time.time())
    ((count, size),) = rows(_SIZE)
    was_left, _room.is_left = _room.is_left, size + count * PIECE_COSTS < MAX_BYTES
    if was_left and not _room.is_left:
        log.warning("Live output takes %d bytes: for now no more is kept.", size)


def _is_needed(key: int, attempt_id: int) -> bool:
    attempt = Attempt.objects.filter(pk=attempt_id).only("lease_token", "ended_at").first()
    if attempt is None or key_of(attempt.lease_token) != key:
        return False
    return attempt.ended_at is None or attempt.ended_at > timezone.now() - KEPT_FOR
