"""Django's SQLite backend, with connections that are kept and writers that wait in line.

Opening a connection costs half a millisecond (Django registers some sixty functions on it), a
life of a job takes eight. And a writer that finds the database locked sleeps in SQLite, up to
0.1 s at a time, while others come and go: under load some starved. Django's own pool is for
PostgreSQL alone.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from foundation.bell import Bell, Listener
from foundation.serving import greenlets

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
        self._turn: _Turn | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return _idle.pop()  # type: ignore[union-attr]
        except (AttributeError, IndexError):  # none is kept, or another thread was faster
            new = super().get_new_connection(conn_params)
        if greenlets.are_used():
            new.execute("PRAGMA busy_timeout = 0")  # it would stop all greenlets
        return new

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
        turn = _turns.turn
        if not turn.take(path, seconds):
            raise OperationalError(f"no turn to write came in {seconds} s")
        self._turn = turn
        try:
            self._begin(seconds)
        except BaseException:
            self._give_turn()
            raise

    def _begin(self, seconds: float) -> None:
        """Asks again while a program that takes no turns has SQLite's write lock: SQLite itself
        would wait with all greenlets."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return super()._start_transaction_under_autocommit()
            except OperationalError as error:
                if "is locked" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    message = f"another program has held SQLite's write lock for {seconds} s"
                    raise OperationalError(message) from error
            greenlets.sleep(_ASK_SECONDS)

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
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.give()


class _Turn:
    """Whose turn it is to write: a native thread's, which has a lock on the file `*.turn`.

    The lock is asked for when the bell rings: flock(2) alone knows no time-out, stops all
    greenlets, and a process that was stopped may hold it. The kernel lets go of it when its holder
    dies. A thread's greenlets share its lock, one after the other.
    """

    def __init__(self) -> None:
        self._greenlets = threading.Lock()
        self._file = -1
        self._of = (0, "")  # the process and path that the file was opened for
        self._listener = Listener()

    def take(self, path: str, seconds: float) -> bool:
        """Whether the turn came in time."""
        deadline = time.monotonic() + seconds
        if not self._greenlets.acquire(timeout=seconds):
            return False
        try:
            while not self._lock(path):
                if time.monotonic() > deadline:
                    self._greenlets.release()
                    return False
                self._listener.sleep(_ASK_SECONDS)  # until another may have given its turn
        except BaseException:
            self._greenlets.release()
            raise
        return True

    def give(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        _bell.ring()
        self._greenlets.release()

    def _lock(self, path: str) -> bool:
        if self._of != (os.getpid(), path):  # a lock is shared with a fork's parent
            self._open(path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _open(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperationalError(f"{path} cannot be opened: {error.strerror}") from error
        self._of = (os.getpid(), path)
        self._listener = Listener()
        self._listener.hear(_bell)


class _Turns(greenlets.NativeLocal):
    """The turn of each native thread."""

    def __init__(self) -> None:
        self.turn = _Turn()


_bell = Bell()  # heard by the processes of one server
_turns = _Turns()
