"""Who watches a job: whoever has its stream of events open, at any server.

Each process knows its own streams. Of jobs that run it leaves a note where the others see it, and
renews it while the streams last.
"""

import os
import secrets
import time

from django.db import DatabaseError

from foundation.database import connections
from foundation.serving import feeds, waiting

LASTS_SECONDS = 10.0  # a note: so long is one seen that was cut off, or whose server was killed
RENEWED_SECONDS = 4.0
KNOWN_SECONDS = 0.5  # how long a process goes by the notes that it has read
MAX_KNOWN = 1000

NOTE = (
    "INSERT INTO jobs_livewatch (job_id, process, until) VALUES (%s, %s, %s) "
    "ON CONFLICT (job_id, process) DO UPDATE SET until = EXCLUDED.until"
)
PROCESSES = "SELECT process FROM jobs_livewatch WHERE job_id = %s AND until > %s"


class _Process:
    """What one process knows and has noted."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.number = secrets.randbits(62)
        self.noted: dict[int, float] = {}  # job: when, by the monotonic clock
        self.known: dict[int, tuple[float, bool, bool]] = {}


_process = _Process()


def _this() -> _Process:
    global _process  # noqa: PLW0603
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


def note(job_id: int) -> None:
    """A stream of this process shows the job, which runs. To be called now and then.

    Raises DatabaseError.
    """
    process, now = _this(), time.monotonic()
    if now - process.noted.get(job_id, float("-inf")) < RENEWED_SECONDS:
        return
    if len(process.noted) >= MAX_KNOWN:
        process.noted.clear()
    process.noted[job_id] = now
    until = time.time() + LASTS_SECONDS
    connections.scratch().rows(NOTE, job_id, process.number, until)


def is_watched(job_id: int) -> bool:
    """Whether anybody watches, or did a moment ago; as far as this process can say, where the
    notes cannot be read."""
    if waiting.is_read(job_id):
        return True
    try:
        return any(_noted(job_id))
    except DatabaseError:
        return False


def tell(job_id: int) -> bool:
    """There is more to see: wakes who watches, wherever. Whether anybody does, as above."""
    here = waiting.wake_readers(job_id)
    by_us, by_others = _noted(job_id)
    if by_others:
        feeds.tell(job_id)
    return here or by_us or by_others


def _noted(job_id: int) -> tuple[bool, bool]:
    """Whether this process, and whether others have noted that the job is watched.

    Of one that is, that may have been so a moment ago.
    """
    process, now = _this(), time.monotonic()
    until, *noted = process.known.get(job_id, (0.0, False, False))
    if now < until:
        return noted[0], noted[1]
    numbers = [n for (n,) in connections.scratch().rows(PROCESSES, job_id, time.time())]
    by_us, by_others = process.number in numbers, any(n != process.number for n in numbers)
    if by_us or by_others:
        if len(process.known) >= MAX_KNOWN:
            process.known.clear()
        process.known[job_id] = (now + KNOWN_SECONDS, by_us, by_others)
    return by_us, by_others
