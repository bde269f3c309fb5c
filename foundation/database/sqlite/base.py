"""Django's SQLite backend, with connections that are kept and writers that wait in line.

Opening a connection costs half a millisecond (Django registers some sixty functions on it), a
life of a job takes eight. And a writer that finds the database locked sleeps in SQLite, up to
0.1 s at a time, while others come and go: under load some starved. Django's own pool is for
PostgreSQL alone.
"""

import contextlib
import fcntl
import functools
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from foundation.bell import Bell, Listener
from foundation.database.durability import LOG_BYTES, SharedSync
from foundation.database.sqlite.thread_files import TurnFile
from foundation.serving import greenlets

_ASK_SECONDS = 0.005  # how often a process asks for its turn to write, if no bell tells it
_MAX_IDLE = 32  # connections kept by a process: more than ever work at once
_TURN_SECONDS = 5.0
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class _Server:
    """What the processes of a server have, and no command: kept connections, a shared sync."""

    def __init__(self, database: Path) -> None:
        self.sync = SharedSync(database, functools.partial(in_a_turn, database))
        # Closed connections for the next to use: the hub's, which must not sleep and whose commits
        # share a sync, and those of native threads. SQLite's do not survive a fork.
        self.idle: dict[bool, deque[sqlite3.Connection]] = {}
        self._open: sqlite3.Connection | None = None

    def begin_process(self, database: Path) -> None:
        """After the fork. A connection stays open, so that nobody who closes the last one takes
        the log away."""
        self.idle = {on_hub: deque(maxlen=_MAX_IDLE) for on_hub in (True, False)}
        self._open = sqlite3.connect(database, isolation_level=None)
        self._open.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
        self.sync.begin_process()


_server: _Server | None = None


def begin_server(database: str) -> None:
    """Before a server forks its processes: their commits share a sync.

    What a killed server left in the log is put on the disk, since nobody will wait for it.
    """
    global _server  # noqa: PLW0603
    make_durable(database)
    _server = _Server(Path(database))


def begin_process(database: str) -> None:
    """In each process of the server."""
    if _server is not None:
        _server.begin_process(Path(database))


def wait_until_durable() -> None:
    """Returns when all that could be read until now is on the disk."""
    if _server is not None:
        _server.sync.wait()


def size(database: str) -> int:
    """Bytes that the database and its log take on the disk."""
    paths = (Path(database), Path(f"{database}-wal"))
    return sum(path.stat().st_size for path in paths if path.exists())


def make_durable(database: str) -> None:
    """The same in any program."""
    if _server is not None:
        _server.sync.wait()
        return
    with contextlib.suppress(FileNotFoundError):
        log = os.open(f"{database}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)


def checkpoint_if_due(database: str) -> None:
    """Moves the log into the database after so many commits, or so long. Not for the hub.

    SQLite's own checkpoints, after a commit, are off in the server: no request pays for one. This
    one holds the writers' turn, so that no commit meets it (SQLite's bug of resetting its log,
    before 3.51.3). Raises OperationalError, such as on a full disk.
    """
    if _server is None or not _server.sync.checkpoint_is_due():
        return
    try:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            in_a_turn(Path(database), lambda: _checkpoint(connection))
    except sqlite3.Error as error:  # Django translates those of its own connections alone
        raise OperationalError(str(error)) from error


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _take_turn(database: Path | str, seconds: float) -> "_Turn":
    """This thread's turn to write, to be given back. Raises OperationalError."""
    turn = _turns.turn
    if not turn.take(f"{database}.turn", seconds):
        raise OperationalError(f"no turn to write came in {seconds} s")
    return turn


def in_a_turn(database: Path, act: Callable[[], Any]) -> None:
    """Calls it while nobody writes. Raises OperationalError."""
    turn = _take_turn(database, _TURN_SECONDS)
    try:
        act()
    finally:
        turn.give()


class DatabaseWrapper(base.DatabaseWrapper):
    """One thread's connection, as Django has them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn: _Turn | None = None
        self._on_hub = False
        self.execute_wrappers.append(self._in_turn)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if _server is None:
            return super().get_new_connection(conn_params)
        self._on_hub = not greenlets.in_native_thread()
        try:
            return _server.idle[self._on_hub].pop()
        except (KeyError, IndexError):
            seconds = 0 if self._on_hub else conn_params.get("timeout", 5)
            new = super().get_new_connection({**conn_params, "timeout": seconds})
        new.execute("PRAGMA wal_autocheckpoint = 0")
        new.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")  # after a checkpoint
        if self._on_hub:
            new.execute("PRAGMA synchronous = NORMAL")  # see durability
        return new

    def kept_cursor(self) -> Any:
        """For a statement of `statements`: Python's sqlite3 keeps those that it compiled anyway."""
        return self.cursor()

    def _close(self) -> None:
        self._give_turn()
        if self._may_be_kept():
            _server.idle[self._on_hub].append(self.connection)  # type: ignore[union-attr]
        else:
            super()._close()

    def _may_be_kept(self) -> bool:
        if _server is None or self.connection is None or not _server.idle:
            return False
        if len(_server.idle[self._on_hub]) >= _MAX_IDLE:
            return False
        return not (self.errors_occurred or self.connection.in_transaction)

    # --- A transaction is a writer's (IMMEDIATE): one at a time ---

    def _start_transaction_under_autocommit(self) -> None:
        self._turn = _take_turn(self.settings_dict["NAME"], self._seconds())
        try:
            self._begin(self._seconds())
        except BaseException:
            self._give_turn()
            raise

    def _in_turn(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """A statement that writes and is no transaction's takes a turn of its own."""
        if self._turn is not None or self.in_atomic_block or not sql.startswith(_WRITES):
            return execute(sql, params, many, context)
        turn = _take_turn(self.settings_dict["NAME"], self._seconds())
        try:
            return execute(sql, params, many, context)
        finally:
            turn.give()

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
        sync = _server.sync if _server is not None and self._on_hub else None
        try:
            if sync:
                sync.commit_begins()
            super()._commit()
        finally:
            if sync:
                sync.commit_is_written()
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
        self._greenlets = greenlets.Lock()
        self._file: TurnFile | None = None
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
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        _bell.ring()
        self._greenlets.release()

    def _lock(self, path: str) -> bool:
        if self._of != (os.getpid(), path):  # a lock is shared with a fork's parent
            self._open(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @property
    def _descriptor(self) -> int:
        return self._file.descriptor if self._file else -1

    def _open(self, path: str) -> None:
        try:
            self._file = TurnFile(path)
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
