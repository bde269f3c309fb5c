"""Results on their way to the queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path


class Outbox:
    """The files of results that are to be sent, for several senders."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = deque(paths)
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, path: Path) -> None:
        """At the end of the line; also one that could not be sent just now."""
        with self._changed:
            self._paths.append(path)
            self._changed.notify()

    def take(self) -> Path | None:
        """The next one; waits for it. None when it is closed and nothing is left."""
        with self._changed:
            while not self._paths:
                if self._is_closed:
                    return None
                self._changed.wait()
            return self._paths.popleft()

    def close(self) -> None:
        """Nothing new will come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
