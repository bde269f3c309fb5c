"""Long polling: the only place that sleeps. No transaction, no database connection meanwhile.

One thread a process watches for commits and wakes the waiters, who look again. On SQLite it
reads `PRAGMA data_version`, which changes when another connection has committed; elsewhere it
lets them look at an interval.
"""

import logging
import os
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

log = logging.getLogger(__name__)

T = TypeVar("T")

_WATCH_SECONDS = 0.02  # how often SQLite's data_version is read while someone waits
_LOOK_SECONDS = 0.25  # how often waiters look where there is nothing to watch
_PEER_SECONDS = 1.0  # how often a waiter makes sure that its client is still there

stopping = threading.Event()  # set when this server stops: every wait ends at once


def stop() -> None:
    """Ends all waits of this process, now and from now on."""
    stopping.set()
    _pulse.beat()


def until(look: Callable[[], T | None], seconds: float, request: HttpRequest) -> T | None:
    """Calls `look` until it returns something, and returns that; None after `seconds`.

    Also None as soon as the client of `request` hung up or this server stops. `look` is
    called at least once, and never for a client that has hung up.
    """
    deadline = time.monotonic() + min(seconds, settings.TELERUN_MAX_WAIT_SECONDS)
    while True:
        seen = _pulse.number
        if (found := look()) is not None:
            return found
        if not connection.in_atomic_block:  # a test's; a request has none here
            connection.close()
        if not _pulse.wait_past(seen, deadline, lambda: _hung_up(request)):
            return None


class _Pulse:
    """A number that grows with every commit to the database that this process notices."""

    def __init__(self) -> None:
        self.number = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._watcher_of = 0  # the process whose watcher runs: a fork starts its own

    def beat(self) -> None:
        with self._changed:
            self.number += 1
            self._changed.notify_all()

    def wait_past(self, seen: int, deadline: float, gone: Callable[[], bool]) -> bool:
        """Sleeps until `number` is past `seen`; False if it is not worth looking again."""
        with self._changed:
            self._start_watcher()
            self._waiting += 1
            try:
                while self.number == seen and not stopping.is_set():
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(min(left, _PEER_SECONDS))
                    if gone():
                        return False
            finally:
                self._waiting -= 1
        return not stopping.is_set() and not gone()

    def _start_watcher(self) -> None:
        if self._watcher_of != os.getpid():
            self._watcher_of = os.getpid()
            threading.Thread(target=self._watch, name="waiting", daemon=True).start()

    def _watch(self) -> None:
        version = _version_reader()
        last = version()
        while not stopping.is_set():
            time.sleep(_WATCH_SECONDS if self._waiting else 10 * _WATCH_SECONDS)
            if (now := version()) != last:
                last = now
                self.beat()


_pulse = _Pulse()


def _version_reader() -> Callable[[], float]:
    """Returns a function whose value changes when the database has changed."""
    if connection.vendor != "sqlite":
        return lambda: time.monotonic() // _LOOK_SECONDS
    database = sqlite3.connect(str(connection.settings_dict["NAME"]), check_same_thread=False)

    def read() -> float:
        try:
            return database.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:  # locked or replaced: look at an interval meanwhile
            return time.monotonic() // _LOOK_SECONDS

    return read


def _hung_up(request: HttpRequest) -> bool:
    """Whether the client closed its connection (on systems that tell: Linux does)."""
    client = request.META.get("gunicorn.socket")
    if not isinstance(client, socket.socket) or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    try:
        poll.register(client, select.POLLRDHUP)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # closed on our side
        return True
