"""Long polling: the only place that sleeps. No transaction, no database connection meanwhile.

One thread a process learns what was committed, by whichever process, and wakes the waiters that
it concerns. On SQLite the server's processes ring a bell after a commit, and the thread asks a
`ChangeReader` which jobs changed; for other programs' commits it also asks for `PRAGMA
data_version` (6 µs) now and then. PostgreSQL notifies it (LISTEN/NOTIFY). The same thread sees
clients hang up. A waiter that was woken looks for itself: a wake-up too many costs a look, and
one that was lost a few seconds.

What a change of a job is in the database, only `jobs` knows: it registers its reader here
(`change_reader`), and calls `announce` in the transaction of each change.
"""

import contextlib
import logging
import os
import select
import socket
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest

from foundation.bell import Bell
from foundation.database import connections
from foundation.hooks import Hook

log = logging.getLogger(__name__)

T = TypeVar("T")

QUEUE = 0  # the topic of those who wait for any job; a job's topic is its id

_FEED_SECONDS = 0.05  # how often SQLite is asked for other programs' commits while someone waits
_DEAF_SECONDS = 0.01  # the same where no bell can be heard
_IDLE_SECONDS = 0.1  # and while nobody does
_GATHER_SECONDS = (
    0.003  # from one read of the feed to the next: under load one read finds several changes
)
_RETRY_SECONDS = 1.0  # how long a database that is away is left alone
_STOP_SECONDS = 0.25  # how often a thread that sleeps makes sure that the server goes on
_CHANNEL = "telerun"  # of PostgreSQL's NOTIFY

# Waiters look by themselves now and then, for what nobody announces: one's place in the queue.
# Seldom enough that all of a process's looks together stay below LOOKS_A_SECOND.
_LEAST_LOOK_SECONDS = 1.0
_LOOKS_A_SECOND = 20

_bell = Bell()  # made before the server forks its processes: they all hear it

stopping = threading.Event()  # set when this server stops: every wait ends at once


# Requests that this process works on at once. Python runs one thread at a time: with a hundred
# at work, each would wait for the ninety-nine others after every statement it sends.
_AT_WORK = 4
_BUSY_SECONDS = 6.0  # how long a request waits for its turn, before it is answered 503
_at_work = threading.BoundedSemaphore(_AT_WORK)
_mine = threading.local()


class Busy(OperationalError):
    """The server has too much to do, or its database keeps everyone waiting. Answered 503."""


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """Around the handling of a request: a few at a time. Raises Busy."""
    _begin_work()
    try:
        yield
    finally:
        _end_work()


@contextlib.contextmanager
def asleep() -> Iterator[None]:
    """Inside `at_work`, around what waits for a client or for a change: others work meanwhile.

    Raises Busy if work cannot go on after it.
    """
    _end_work()
    try:
        yield
    finally:
        _begin_work()


def _begin_work() -> None:
    if not _at_work.acquire(timeout=_BUSY_SECONDS):
        raise Busy("too many requests wait for their turn")
    _mine.works = True


def _end_work() -> None:
    if getattr(_mine, "works", False):
        _mine.works = False
        _at_work.release()


def stop() -> None:
    """Ends all waits of this process, now and from now on."""
    stopping.set()
    _board.wake_all()


def announce(job_id: int, *, queued: bool = False) -> None:
    """Says, in the transaction that does it, that a job changed, and if it now waits.

    PostgreSQL notifies those who listen; on SQLite a bell makes the server's processes read.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, f"{job_id} {int(queued)}"])
    else:
        transaction.on_commit(_bell.ring)


def until(
    look: Callable[[], T | None], seconds: float, request: HttpRequest, topic: int
) -> T | None:
    """Calls `look` until it returns something, and returns that; None after `seconds`.

    It looks again when something happened to `topic`, a job's id or QUEUE, and now and then.
    Also None as soon as the client of `request` hung up or this server stops. `look` is
    called at least once, and never for a client that has hung up. To be called `at_work`.
    """
    deadline = time.monotonic() + min(seconds, settings.TELERUN_MAX_WAIT_SECONDS)
    if seconds <= 0:
        return look()
    with _board.waiter(topic, request) as waiter:
        while True:
            if (found := _look(look, waiter)) is not None:
                return found
            connections.release()
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with asleep():
                waiter.woken.wait(min(left, _board.look_seconds()))
            if stopping.is_set() or waiter.hung_up:
                return None


def _look(look: Callable[[], T | None], waiter: "_Waiter") -> T | None:
    """One look. Who was woken for a job and does not take it lets the next one look."""
    woken = _board.looks(waiter)
    found = None
    try:
        found = look()
    finally:
        if found is None and woken and waiter.topic == QUEUE:
            _board.pass_on()
    return found


# --- Who waits for what ------------------------------------------------------------------


class _Waiter:
    """A thread that sleeps until something happens to its topic."""

    def __init__(self, topic: int, request: HttpRequest) -> None:
        self.topic = topic
        self.seen = 0  # how many jobs had been queued when it last began to look
        self.woken = threading.Event()
        self.hung_up = False
        client = request.META.get("gunicorn.socket")
        self.socket = client if isinstance(client, socket.socket) else None


class _Board:
    """All waiters of this process, by topic, and the thread that wakes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[int, dict[_Waiter, None]] = defaultdict(dict)  # in order of arrival
        self.count = 0
        self.queued = 0  # how many jobs have begun to wait, since this process was started
        self._watcher: _Watcher | None = None

    @contextlib.contextmanager
    def waiter(self, topic: int, request: HttpRequest) -> Iterator[_Waiter]:
        """Inside it, the waiter is woken for everything that is committed from now on."""
        watcher = self._running_watcher()
        waiter = _Waiter(topic, request)
        with self._lock:
            self._waiters[topic][waiter] = None
            self.count += 1
        watcher.watch(waiter)
        try:
            yield waiter
        finally:
            watcher.unwatch(waiter)
            with self._lock:
                self.count -= 1
                waiters = self._waiters[topic]
                del waiters[waiter]
                if not waiters:
                    del self._waiters[topic]
                if topic == QUEUE and waiter.woken.is_set():
                    self._wake_one()  # it leaves, woken for a job that another can take

    def look_seconds(self) -> float:
        """How long a waiter may go without looking."""
        return max(_LEAST_LOOK_SECONDS, self.count / _LOOKS_A_SECOND)

    def wake(self, change: "Change") -> None:
        """Wakes those who wait for the job, and one of those who wait for any if it waits."""
        with self._lock:
            for waiter in self._waiters.get(change.job_id, ()):
                waiter.woken.set()
            if change.queued:
                self.queued += 1
                self._wake_one()

    def looks(self, waiter: _Waiter) -> bool:
        """To be called before it looks: later commits wake it anew. Whether it was woken."""
        with self._lock:
            woken = waiter.woken.is_set()
            waiter.woken.clear()
            waiter.seen = self.queued
            return woken

    def pass_on(self) -> None:
        """Somebody was woken for a job, and did not take it."""
        with self._lock:
            self._wake_one()

    def _wake_one(self) -> None:
        """The first who has not looked since the last job was queued: each looks once for it."""
        for waiter in self._waiters.get(QUEUE, ()):
            if not waiter.woken.is_set() and waiter.seen < self.queued:
                waiter.woken.set()
                return

    def wake_all(self) -> None:
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.woken.set()

    def _running_watcher(self) -> "_Watcher":
        with self._lock:
            if self._watcher is None or not self._watcher.runs_here():
                self._watcher = _Watcher(self)
            return self._watcher


class Change(NamedTuple):
    """A job changed; if `queued`, it now waits for an executor."""

    job_id: int
    queued: bool


# --- The thread that wakes them ----------------------------------------------------------


class _Watcher:
    """Reads the feed and sees clients hang up, in one thread of this process."""

    def __init__(self, board: _Board) -> None:
        """Returns when the feed is open, so that nothing after it is missed.

        Raises DatabaseError.
        """
        self._board = board
        self._pid = os.getpid()  # a fork starts its own
        self._poll = select.epoll() if hasattr(select, "epoll") else None
        self._watched: dict[int, _Waiter] = {}
        self._feed: _Feed | None = None
        self._read_at = 0.0
        self._seconds = _DEAF_SECONDS
        if self._poll is not None and _bell.wakes(self._poll):
            self._seconds = _FEED_SECONDS
        self._open_feed()
        self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        self._thread.start()

    def runs_here(self) -> bool:
        return self._pid == os.getpid() and self._thread.is_alive()

    def watch(self, waiter: _Waiter) -> None:
        """From now on the waiter hears of its client's hanging up (on Linux)."""
        if self._poll is None or waiter.socket is None:
            return
        with contextlib.suppress(OSError):
            self._watched[waiter.socket.fileno()] = waiter
            self._poll.register(waiter.socket, select.EPOLLRDHUP)

    def unwatch(self, waiter: _Waiter) -> None:
        if self._poll is None or waiter.socket is None:
            return
        self._watched.pop(waiter.socket.fileno(), None)
        with contextlib.suppress(OSError, ValueError):  # closed on our side
            self._poll.unregister(waiter.socket)

    def _run(self) -> None:
        while not stopping.is_set():
            try:
                if self._feed is None:
                    self._open_feed()
                    self._board.wake_all()  # what was missed meanwhile
                self._sleep()
                for change in self._feed.read():
                    self._board.wake(change)
            except Exception as error:
                log.warning("The feed of changes is opened anew: %s", str(error).strip())
                self._close_feed()
                stopping.wait(_RETRY_SECONDS)
        self._board.wake_all()  # they see that the server stops
        self._close_feed()

    def _open_feed(self) -> None:
        with connection.wrap_database_errors:  # a request may open it, and is answered 503
            self._feed = _PostgresFeed() if connection.vendor == "postgresql" else _SqliteFeed()
        if self._poll is not None and self._feed.descriptor is not None:
            self._poll.register(self._feed.descriptor, select.EPOLLIN)

    def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            with contextlib.suppress(Exception):  # its server is gone, as like as not
                feed.close()

    def _sleep(self) -> None:
        """Until the feed may have something; meanwhile clients are seen to hang up."""
        if self._poll is None:
            time.sleep(self._seconds)
            return
        seconds = self._seconds if self._board.count else _IDLE_SECONDS
        if self._feed.descriptor is not None:  # it wakes us by itself
            seconds = _STOP_SECONDS
        for descriptor, _ in self._poll.poll(seconds):
            if waiter := self._watched.pop(descriptor, None):
                self.unwatch(waiter)
                waiter.hung_up = True
                waiter.woken.set()
        too_soon = self._read_at + _GATHER_SECONDS - time.monotonic()
        if too_soon > 0:
            time.sleep(too_soon)
        self._read_at = time.monotonic()


# --- The feed: what was committed --------------------------------------------------------


class _Feed(Protocol):
    descriptor: int | None  # readable when there is a change; None where one has to ask

    def read(self) -> Iterable[Change]:
        """What happened since the last call, without waiting for more."""

    def close(self) -> None: ...


class ChangeReader(Protocol):
    """Reads from an SQLite database which jobs changed since the last call."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Changes committed from now on count."""

    def read(self) -> Iterable[Change]: ...


change_reader: Hook[type[ChangeReader]] = Hook("the reader of changes")


class _SqliteFeed:
    """What a ChangeReader finds, whenever anybody has committed."""

    descriptor = None

    def __init__(self) -> None:
        name = str(connection.settings_dict["NAME"])
        self._database = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
        self._version = self._data_version()
        self._reader = change_reader.get()(self._database)

    def _data_version(self) -> int:
        return self._database.execute("PRAGMA data_version").fetchone()[0]

    def read(self) -> Iterable[Change]:
        version = self._data_version()
        if version == self._version:
            return ()
        self._version = version
        return self._reader.read()

    def close(self) -> None:
        self._database.close()


class _PostgresFeed:
    """Notifications on a connection of its own."""

    def __init__(self) -> None:
        import psycopg

        parameters: dict[str, Any] = connection.get_connection_params()
        for of_django in ("cursor_factory", "context", "pool"):
            parameters.pop(of_django, None)
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._connection.execute(f"LISTEN {_CHANNEL}")
        self.descriptor = self._connection.fileno()

    def read(self) -> Iterable[Change]:
        for notice in self._connection.notifies(timeout=0):
            job_id, queued = notice.payload.split()
            yield Change(int(job_id), queued == "1")

    def close(self) -> None:
        self._connection.close()


_board = _Board()
