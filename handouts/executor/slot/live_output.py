"""Output frames on their way to a listener, who may be slow."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from handouts.executor.base.threads import start
from handouts.executor.slot.protocol import Output

FRAMES_HELD = 16  # for a slow listener; further ones are left out
LISTENER_SECONDS = 1  # how long a result waits for the listener to take the last ones


class LiveOutput:
    """Calls a listener in a thread of its own, so that the slot's frames are read all the same."""

    def __init__(self, listener: Callable[[int, bytes], Any]) -> None:
        """`listener` takes an offset in all that the command printed, and bytes."""
        self._listener = listener
        self._frames: queue.Queue[Output | None] = queue.Queue(FRAMES_HELD)
        self._is_over = False
        self._thread = start(self._deliver, "live output")

    def add(self, frame: Output) -> None:
        """Passes the frame on, or leaves it out if the listener is behind. Never waits."""
        with suppress(queue.Full):
            self._frames.put_nowait(frame)

    def close(self) -> None:
        """Gives the listener a moment for the last frames; afterwards it is not called again."""
        deadline = time.monotonic() + LISTENER_SECONDS
        with suppress(queue.Full):
            self._frames.put(None, timeout=LISTENER_SECONDS)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._is_over = True

    def _deliver(self) -> None:
        while True:
            frame = self._frames.get()
            if frame is None or self._is_over:
                return
            self._listener(frame.offset, frame.data)
