"""Who wakes the waiters: one greenlet a process, which reads the feed and sees clients hang up."""

import contextlib
import logging
import os
import select
import time

from foundation.bell import Listener
from foundation.serving import greenlets
from foundation.serving.feeds import Feed, bell, open_feed
from foundation.serving.waiters import Waiter, Waiters, stopping

log = logging.getLogger(__name__)

_FEED_SECONDS = 0.05  # how often SQLite is asked for other programs' commits while someone waits
_WITHOUT_BELL_SECONDS = 0.01  # the same where no bell can be heard
_IDLE_SECONDS = 0.1  # and while nobody does
_GATHER_SECONDS = (
    0.003  # from one read of the feed to the next: under load one read finds several changes
)
_RETRY_SECONDS = 1.0  # how long a database that is away is left alone
_STOP_SECONDS = 0.25  # how often it makes sure that the server goes on


class Watcher:
    """Reads the feed and sees clients hang up."""

    def __init__(self, waiters: Waiters) -> None:
        """Returns when the feed is open, so that nothing after it is missed.

        Raises DatabaseError.
        """
        self._waiters = waiters
        self._pid = os.getpid()  # a fork starts its own
        self._listener = Listener()
        self._watched: dict[int, Waiter] = {}
        self._feed: Feed | None = None
        self._read_at = 0.0
        self._seconds = _FEED_SECONDS if self._listener.hear(bell) else _WITHOUT_BELL_SECONDS
        self._open_feed()
        self._running = greenlets.spawn(self._run, "waiting")

    def runs_here(self) -> bool:
        """Whether it is this process's, and at work."""
        return self._pid == os.getpid() and self._running.is_alive()

    def join(self, seconds: float) -> None:
        """Waits for its end, which `stopping` brings about."""
        self._running.join(seconds)

    def watch(self, waiter: Waiter) -> None:
        """From now on the waiter hears of its client's hanging up (on Linux)."""
        if waiter.socket is not None and self._listener.hears:
            with contextlib.suppress(OSError):
                self._watched[waiter.socket.fileno()] = waiter
                self._listener.watch(waiter.socket.fileno(), select.EPOLLRDHUP)

    def unwatch(self, waiter: Waiter) -> None:
        """Its client is another request's business."""
        if waiter.socket is not None and self._listener.hears:
            self._watched.pop(waiter.socket.fileno(), None)
            with contextlib.suppress(OSError, ValueError):  # closed on our side
                self._listener.unwatch(waiter.socket.fileno())

    def _run(self) -> None:
        while not stopping.is_set():
            try:
                if self._feed is None:
                    self._open_feed()
                    self._waiters.wake_all()  # what was missed meanwhile
                self._sleep()
                for change in self._feed.read():
                    self._waiters.wake(change)
            except Exception as error:
                log.warning("The feed of changes is opened anew: %s", str(error).strip())
                self._close_feed()
                stopping.wait(_RETRY_SECONDS)
        self._waiters.wake_all()  # they see that the server stops
        self._close_feed()

    def _open_feed(self) -> None:
        self._feed = open_feed()
        if self._feed.descriptor is not None:
            self._listener.watch(self._feed.descriptor, select.EPOLLIN)

    def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            with contextlib.suppress(Exception):  # its server is gone, as like as not
                feed.close()

    def _sleep(self) -> None:
        """Until the feed may have something; meanwhile clients are seen to hang up."""
        seconds = self._seconds if self._waiters.count else _IDLE_SECONDS
        if self._feed.descriptor is not None:  # it wakes us by itself
            seconds = _STOP_SECONDS
        for descriptor in self._listener.sleep(seconds):
            if waiter := self._watched.pop(descriptor, None):
                self.unwatch(waiter)
                waiter.hung_up = True
                waiter.woken.set()
        too_soon = self._read_at + _GATHER_SECONDS - time.monotonic()
        if too_soon > 0:
            time.sleep(too_soon)
        self._read_at = time.monotonic()
