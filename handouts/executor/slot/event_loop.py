"""Waiting for orders, output and the end of a child, in one place."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from typing import Any


class EventLoop:
    """Calls back for each descriptor that can be read."""

    def __init__(self) -> None:
        """Takes the signals of this process: SIGCHLD ends `wait`, and no other does anything."""
        self._selector = selectors.DefaultSelector()
        wake, self._wake = os.pipe()  # a byte arrives when a child has ended
        for end in (wake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The executor says when to stop. Handlers, because what is ignored stays so in programs.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.on_readable(wake, lambda: os.read(wake, 4096))

    def on_readable(self, descriptor: int, callback: Callable[[], Any]) -> None:
        """`callback` is called when the descriptor can be read, until it is forgotten."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def forget(self, descriptor: int) -> None:
        """Nothing is called for it any more; it may have been forgotten before."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def wait(self, seconds: float | None = None) -> None:
        """Until something has happened, or for so long."""
        for key, _ in self._selector.select(seconds):
            key.data()
