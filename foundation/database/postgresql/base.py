"""Django's PostgreSQL backend, whose connections a server's greenlets and native threads keep.

psycopg's pool waits for threads of its own, which greenlets must not. Commands and tests use it.
"""

import contextlib
import time
from collections import deque
from typing import Any

import gevent
import psycopg
from django.db import OperationalError, connection
from django.db.backends.postgresql import base
from psycopg import waiting

from foundation.serving import greenlets

_MAX_CONNECTIONS = 32  # of the hub: each costs PostgreSQL a process
_TRUSTED_SECONDS = 1.0  # what was used just now is not asked whether it still is a connection
_USES_UNTIL_PREPARED = 5
# For one; past it the answer is 503, try again. A thousand streams that begin at once take less.
_WAIT_SECONDS = 5.0

# Idle ones, of the hub and of native threads: either may only wait in its own way. None are kept
# before a server forks its processes: they would share them.
_kept: dict[bool, "deque[Any]"] = {True: deque(maxlen=0), False: deque(maxlen=0)}
_free = greenlets.Slots(_MAX_CONNECTIONS)


def begin_process() -> None:
    """In each process of the server, after the fork: from now on connections are kept."""
    _kept[True] = deque(maxlen=_MAX_CONNECTIONS)
    _kept[False] = deque(maxlen=greenlets.THREADS)


class Connection(psycopg.Connection[Any]):
    """psycopg's, which waits for its server as the greenlet or native thread does that uses it.

    psycopg's own way under gevent makes a `poll` object for each statement, and in a native thread
    a hub of its own.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Runs a generator of psycopg's, which yields what it waits for, and returns its result."""
        if greenlets.in_native_thread():
            return _wait_in_thread(gen, self.pgconn.socket, interval, timeout)
        return _wait_on_hub(gen, self.pgconn.socket)


_wait_in_thread = getattr(waiting, "wait_c", waiting.wait_select)  # its C, where it has it


def _wait_on_hub(gen: Any, socket: int) -> Any:
    hub = gevent.get_hub()
    try:
        wanted = next(gen)
        while True:
            watcher = hub.loop.io(socket, wanted)  # 1 to read, 2 to write: psycopg's numbers too
            try:
                hub.wait(watcher)
            finally:
                watcher.close()
            wanted = gen.send(wanted)
    except StopIteration as end:
        return end.value


class DatabaseWrapper(base.DatabaseWrapper):
    """One greenlet's or thread's connection, as Django has them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_hub = False

    @property
    def pool(self) -> Any:
        return None if greenlets.are_used() else super().pool

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not greenlets.are_used():
            return super().get_new_connection(conn_params)
        self._on_hub = not greenlets.in_native_thread()
        if self._on_hub and not _free.acquire(timeout=_WAIT_SECONDS):
            raise OperationalError(f"no connection to PostgreSQL was free in {_WAIT_SECONDS} s")
        try:
            return self._kept_one() or self._new_one(conn_params)
        except BaseException:
            self._let_go()
            raise

    def _kept_one(self) -> Any:
        with contextlib.suppress(IndexError):
            while True:
                kept, since = _kept[self._on_hub].pop()
                if time.monotonic() - since < _TRUSTED_SECONDS or _is_usable(kept):
                    return kept
                kept.close()
        return None

    def _new_one(self, conn_params: dict[str, Any]) -> Any:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        new = Connection.connect(**conn_params, autocommit=True)  # as Django sets it anyway
        if not has_a_pooler_before_it(new):
            new.prepare_threshold = _USES_UNTIL_PREPARED
        return new

    def kept_cursor(self) -> Any:
        """For a statement of `statements`: after some uses PostgreSQL keeps its plan too."""
        self.ensure_connection()
        usual = self.connection.cursor_factory
        self.connection.cursor_factory = base.ServerBindingCursor
        try:
            return self.cursor()
        finally:
            self.connection.cursor_factory = usual

    def _let_go(self) -> None:
        if self._on_hub:
            _free.release()

    def _close(self) -> None:
        if not greenlets.are_used():
            super()._close()
            return
        kept = _kept[self._on_hub]
        try:
            if self._may_be_kept() and len(kept) < (kept.maxlen or 0):
                kept.append((self.connection, time.monotonic()))
            else:
                super()._close()
        finally:
            self._let_go()

    def _may_be_kept(self) -> bool:
        if self.errors_occurred or self.connection.closed or not self.connection.autocommit:
            return False
        idle = base.Database.pq.TransactionStatus.IDLE
        return self.connection.info.transaction_status == idle


class ScratchTables:
    """Tables without a journal (UNLOGGED): a crash of PostgreSQL empties them."""

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What one statement finds or returns; a parameter is `%s`. Raises DatabaseError."""
        with connection.kept_cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


def has_a_pooler_before_it(connection: Any) -> bool:
    """Whether what was connected to is not the process that answers."""
    (answers,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    return answers != connection.info.backend_pid


def _is_usable(connection: Any) -> bool:
    """Whether it still is one, after a restart of its server."""
    try:
        connection.execute("SELECT 1")
    except base.Database.Error:
        return False
    return True
