"""What a stream has told of a job's start, and when that is to be told again."""

import time

from jobs.expectation import Range
from jobs.outlook import Outlook


class Told:
    """What the reader of a stream knows."""

    def __init__(self) -> None:
        self._told: Outlook | None = None
        self._at = 0.0

    def note(self, outlook: Outlook) -> None:
        """That is told now."""
        self._told, self._at = outlook, time.monotonic()

    def is_news(self, outlook: Outlook) -> bool:
        """Whether the reader, who counts the seconds down, expects something else by now.

        A stream that goes on from a known event begins with what there is: it is noted as told.
        """
        if self._told is None:
            self.note(outlook)
            return False
        if outlook.jobs_before != self._told.jobs_before:
            return True
        return _differ(self._told.start, outlook.start, time.monotonic() - self._at)


def _differ(told: Range | None, now: Range | None, seconds: float) -> bool:
    """Whether the middle of what is expected lies outside of what was told so long ago."""
    if told is None or now is None:
        return told is not now
    middle = (now.from_seconds + now.to_seconds) / 2
    return not told.from_seconds - seconds <= middle <= told.to_seconds - seconds
