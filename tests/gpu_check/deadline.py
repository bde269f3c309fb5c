"""How long the whole call may take, and how long each check."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OutOfTime(BaseException):
    """Raised in the middle of a check. Not an Exception, so that nothing on its way takes it for a
    failure of its own."""


class Deadline:
    """When all must be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; fewer than none when it is past."""
        return self._end - time.monotonic()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in what takes longer. Of the main thread alone, as signals are."""

    def end(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
