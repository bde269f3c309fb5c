"""Django's SQLite backend, with connections that are kept and writers that wait in line.

Opening a connection costs half a millisecond (Django registers some sixty functions on it), a
life of a job takes eight. And a writer that finds the database locked sleeps in SQLite, up to
0.1 s at a time, while others come and go: under load some starved. Django's own pool is for
PostgreSQL alone.
"""

import fcntl
import os
import select
import sqlite3
import threading
import time
from collections import deque
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from foundation.bell import Bell

_ASK_SECONDS = 0.005  # how often a process asks for its turn to write, if no bell tells it
_MOST_IDLE = 32  # connections kept by a process: more than ever work at once

_idle: "deque[sqlite3.Connection] | None" = None  # None: this process keeps none


def keep_connections() -> None:
    """From now on this process keeps closed connections for the next to use.

    Not to be called before a fork: SQLite's connections do not survive one.
    """
    global _idle  # noqa: PLW0603
    _idle = deque(maxlen=_MOST_IDLE)


class DatabaseWrapper(base.DatabaseWrapper):
    """One thread's connection, as Django has them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_turn = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return _idle.pop() if _idle else super().get_new_connection(conn_params)
        except IndexError:  # another thread was faster
            return super().get_new_connection(conn_params)

    def _close(self) -> None:
        self._give_turn()
        if self._may_be_kept():
            _idle.append(self.connection)  # type: ignore[union-attr]
        else:
            super()._close()

    def _may_be_kept(self) -> bool:
        if _idle is None or self.connection is None or len(_idle) >= _MOST_IDLE:
            return False
        return not (self.errors_occurred or self.connection.in_transaction)

    # --- A transaction is a writer's (IMMEDIATE): one at a time ---

    def _start_transaction_under_autocommit(self) -> None:
        path, seconds = f"{self.settings_dict['NAME']}.turn", self._seconds()
        if not _turn.take(path, seconds):
            raise OperationalError(f"no turn to write came in {seconds} s")
        self._has_turn = True
        try:
            super()._start_transaction_under_autocommit()
        except BaseException as error:
            self._give_turn()
            if "is locked" in str(error):
                message = f"another program has held SQLite's write lock for {seconds} s"
                raise OperationalError(message) from error
            raise

    def _seconds(self) -> float:
        return self.settings_dict["OPTIONS"].get("timeout", 5)

    def _commit(self) -> None:
        try:
            super()._commit()
        finally:
            self._give_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._give_turn()

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            _turn.give()


class _Turn:
    """Whose turn it is to write: a lock among this process's threads, then among processes.

    The second is a file's, asked for when the bell rings: flock(2) alone knows no time-out, and
    a process that was stopped may hold it. The kernel lets go of it when its holder dies.
    """

    def __init__(self) -> None:
        self._threads = threading.Lock()
        self._file = -1
        self._of = (0, "")  # the process and path that the file was opened for
        self._bell = Bell()  # heard by the processes of one server
        self._poll: select.epoll | None = None

    def take(self, path: str, seconds: float) -> bool:
        """Whether the turn came in time."""
        deadline = time.monotonic() + seconds
        if not self._threads.acquire(timeout=seconds):
            return False
        try:
            while not self._lock(path):
                if time.monotonic() > deadline:
                    self._threads.release()
                    return False
                self._sleep()
        except BaseException:
            self._threads.release()
            raise
        return True

    def give(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._bell.ring()
        self._threads.release()

    def _sleep(self) -> None:
        """Until another process may have given its turn."""
        if self._poll is None:
            time.sleep(_ASK_SECONDS)
        else:
            self._poll.poll(_ASK_SECONDS)

    def _lock(self, path: str) -> bool:
        if self._of != (os.getpid(), path):  # a lock is shared with a fork's parent
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise OperationalError(f"{path} cannot be opened: {error.strerror}") from error
            self._of = (os.getpid(), path)
            self._listen()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _listen(self) -> None:
        self._poll = None
        if hasattr(select, "epoll"):
            self._poll = select.epoll()
            self._bell.wakes(self._poll)


_turn = _Turn()
