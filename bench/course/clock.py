"""The clock of a course: what the operations take for the time of day, and what happens when."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from django.utils import timezone


class Clock:
    """Stands still until it is set; things are planned on it, and happen in order."""

    def __init__(self, begins_at: datetime) -> None:
        self.now = begins_at
        self._planned: list[tuple[datetime, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def at(self, moment: datetime, act: Callable[..., Any], *arguments: Any) -> None:
        """Plans `act` for then; what lies in the past happens next."""
        heapq.heappush(self._planned, (moment, next(self._numbers), act, arguments))

    def after(self, seconds: float, act: Callable[..., Any], *arguments: Any) -> None:
        self.at(self.now + timedelta(seconds=seconds), act, *arguments)

    def happen(self, until: datetime, most: int) -> bool:
        """Lets at most so many things happen, none later than `until`; False after the last."""
        for _ in range(most):
            if not self._planned or self._planned[0][0] > until:
                self.now = until
                return False
            moment, _, act, arguments = heapq.heappop(self._planned)
            self.now = max(self.now, moment)
            act(*arguments)
        return True

    def _tell(self) -> datetime:
        return self.now

    @contextmanager
    def told(self) -> Iterator[None]:
        """Inside it, `timezone.now()` is this clock's."""
        with mock.patch.object(timezone, "now", self._tell):
            yield
