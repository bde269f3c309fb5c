"""Django's PostgreSQL backend, whose connections a server's greenlets and native threads keep.

psycopg's pool waits for threads of its own, which greenlets must not. Commands and tests use it.
"""

import contextlib
import time
from collections import deque
from typing import Any

from django.db import OperationalError
from django.db.backends.postgresql import base

from foundation.serving import greenlets

_MAX_CONNECTIONS = 32  # of the hub: each costs PostgreSQL a process
_TRUSTED_SECONDS = 1.0  # what was used just now is not asked whether it still is a connection
_WAIT_SECONDS = 2.0  # for one; past it the answer is 503, try again

# Idle ones, of the hub and of native threads: either may only wait in its own way. None are kept
# before a server forks its processes: they would share them.
_kept: dict[bool, "deque[Any]"] = {True: deque(maxlen=0), False: deque(maxlen=0)}
_free = greenlets.Slots(_MAX_CONNECTIONS)


def begin_process() -> None:
    """In each process of the server, after the fork: from now on connections are kept."""
    _kept[True] = deque(maxlen=_MAX_CONNECTIONS)
    _kept[False] = deque(maxlen=greenlets.THREADS)


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
            return self._kept_one() or super().get_new_connection(conn_params)
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


def _is_usable(connection: Any) -> bool:
    """Whether it still is one, after a restart of its server."""
    try:
        connection.execute("SELECT 1")
    except base.Database.Error:
        return False
    return True
