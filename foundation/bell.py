"""A bell that one process rings and others hear."""

import os
import select
from typing import Any

from gevent import monkey

from foundation.serving import greenlets

try:
    # gevent takes it out of `select`: as it is, its `poll` would stop all greenlets.
    _epoll: Any = monkey.get_original("select", "epoll")
except AttributeError:  # not on Linux
    _epoll = None


class Bell:
    """Heard by every process that was forked after it was made; by nobody where there is no
    eventfd(2), as outside of Linux: listeners look by themselves now and then.

    Nobody reads the descriptor. With EPOLLET each ring wakes each epoll that has it, so one
    ring reaches all processes, and none takes it from another.
    """

    def __init__(self) -> None:
        self.descriptor = -1
        if hasattr(os, "eventfd"):
            self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        if self.descriptor >= 0:
            os.eventfd_write(self.descriptor, 1)


class Listener:
    """Sleeps until a bell rings, or something happens to a socket; other greenlets go on."""

    def __init__(self) -> None:
        self._epoll = _epoll() if _epoll else None
        if self._epoll is not None:
            self._waits = select.poll()  # gevent's, where there are greenlets
            self._waits.register(self._epoll.fileno(), select.POLLIN)

    @property
    def hears(self) -> bool:
        """Whether there is anything to hear with; otherwise `sleep` is only that."""
        return self._epoll is not None

    def hear(self, bell: Bell) -> bool:
        """From now on a ring ends a sleep; False where it cannot."""
        if self._epoll is None or bell.descriptor < 0:
            return False
        self._epoll.register(bell.descriptor, select.EPOLLIN | select.EPOLLET)
        return True

    def watch(self, descriptor: int, events: int) -> None:
        """From now on these events of a descriptor end a sleep. Raises OSError."""
        if self._epoll is not None:
            self._epoll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """No more. Raises OSError for one that was closed."""
        if self._epoll is not None:
            self._epoll.unregister(descriptor)

    def sleep(self, seconds: float) -> list[int]:
        """At most so long; the descriptors that something happened to."""
        if self._epoll is None:
            greenlets.sleep(seconds)
            return []
        if greenlets.in_native_thread():
            return [descriptor for descriptor, _ in self._epoll.poll(seconds)]
        self._waits.poll(seconds * 1000)
        return [descriptor for descriptor, _ in self._epoll.poll(0)]
