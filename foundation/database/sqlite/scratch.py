"""An SQLite file for what a power cut may take: written without syncs, made anew if it is broken.

Its writers wait for each other alone, never for those of the database beside it. A statement takes
some 20 µs, so it runs on the hub as in native threads; who must wait lets others go on.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import OperationalError

from foundation.database.sqlite.thread_files import OpenDatabase, TurnFile
from foundation.serving import greenlets

log = logging.getLogger(__name__)

_READS = ("SELECT", "PRAGMA")
_PATIENCE_SECONDS = 2.0
_ASK_SECONDS = 0.001
_NOTES_KEPT = 1000  # far more than are written while a listener reads once
_NEWS = "CREATE TABLE news (id INTEGER PRIMARY KEY, topics TEXT NOT NULL)"
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",
    "PRAGMA busy_timeout = 0",  # SQLite would sleep with all greenlets
    "PRAGMA journal_size_limit = 8388608",
)


class ScratchFile:
    """The file, as each native thread of each process has it open: the hub's greenlets share it."""

    def __init__(self, path: Path, tables: tuple[str, ...]) -> None:
        """`tables`: statements that make them. A file of other tables is made anew."""
        self._path, self._tables = path, (_NEWS, *tables)
        self._version = zlib.crc32("\n".join(self._tables).encode()) & 0x7FFFFFFF
        self._threads = _Threads()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What one statement finds or returns; a parameter is `%s`. Raises OperationalError."""
        statement = sql.replace("%s", "?")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        is_second_look = is_new = False
        while True:
            try:
                return self._once(statement, values)
            except BlockingIOError as error:  # another thread or process writes
                if time.monotonic() > deadline:
                    message = f"{self._path.name} was locked for {_PATIENCE_SECONDS} s"
                    raise OperationalError(message) from error
            except (sqlite3.Error, OSError) as error:
                if is_new or not _is_broken(error) or time.monotonic() > deadline:
                    raise OperationalError(f"{self._path}: {error}") from error
                if not is_second_look:  # another one may have closed its log just then
                    is_second_look = True
                    self._threads.forget()
                elif is_new := self._throw_away():
                    log.warning("%s is made anew: %s", self._path, error)
                continue
            greenlets.sleep(_ASK_SECONDS)

    # --- News, which one process of a server tells the others ---

    def tell(self, topics: Iterable[int]) -> None:
        """Leaves a note for all who listen. Raises OperationalError."""
        text = " ".join(map(str, topics))
        ((number,),) = self.rows("INSERT INTO news (topics) VALUES (%s) RETURNING id", text)
        if number % _NOTES_KEPT == 0:
            self.rows("DELETE FROM news WHERE id <= %s", number - _NOTES_KEPT)

    def told_until_now(self) -> int:
        """The number of the last note. Raises OperationalError."""
        return self.rows("SELECT COALESCE(MAX(id), 0) FROM news")[0][0]

    def told_since(self, number: int) -> list[tuple[int, str]]:
        """Later notes: their numbers and topics. Raises OperationalError."""
        return self.rows("SELECT id, topics FROM news WHERE id > %s ORDER BY id", number)

    def version(self) -> tuple[int, int]:
        """Differs once another thread or process has written. Raises OperationalError."""
        (row,) = self.rows("PRAGMA data_version")
        return self._threads.inode, row[0]

    def _once(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Raises sqlite3.Error, BlockingIOError, OSError."""
        try:
            database = self._opened()
            if statement.startswith(_READS):
                return database.execute(statement, values).fetchall()
            # Whoever writes or moves the log into the file does it alone: SQLite's bug of
            # resetting its log (before 3.51.3) cannot meet a commit.
            with self._turn():
                return database.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            # Another one puts it right after a kill -9, or closes it as its thread ends.
            if "is locked" in str(error):
                raise BlockingIOError from error
            raise

    def _opened(self) -> sqlite3.Connection:
        """This thread's connection to the file that is there now."""
        mine = self._threads
        if mine.opened is not None and mine.pid == os.getpid():
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._path).st_ino == mine.inode:
                    return mine.opened.connection
        mine.forget()
        with self._turn():
            database, mine.inode = self._made()
        mine.opened = OpenDatabase(database)
        return database

    def _made(self) -> tuple[sqlite3.Connection, int]:
        """A connection to the file, with its tables, and the file's inode."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._threads.inode = inode = os.stat(self._path).st_ino  # also of one that is broken
        database = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database, inode

    def _prepare(self, database: sqlite3.Connection) -> None:
        for pragma in _PRAGMAS:
            database.execute(pragma).fetchall()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, self._version):
            raise sqlite3.DatabaseError("its tables are another version's")
        if not version:
            database.execute("BEGIN")
            for table in self._tables:
                database.execute(table)
            database.execute(f"PRAGMA user_version = {self._version}")
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes. Raises BlockingIOError; nobody may wait for anything inside."""
        descriptor = self._threads.turn(f"{self._path}.turn")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _throw_away(self) -> bool:
        """Whether this thread did; not while others write, nor what another has made anew."""
        broken = self._threads.inode
        self._threads.forget()
        try:
            with self._turn():
                if os.stat(self._path).st_ino != broken:
                    return False
                for ending in ("", "-wal", "-shm"):
                    Path(f"{self._path}{ending}").unlink(missing_ok=True)
        except OSError:
            greenlets.sleep(_ASK_SECONDS)
            return False
        return True


class _Threads(greenlets.NativeLocal):
    """What one native thread has open."""

    def __init__(self) -> None:
        self.opened: OpenDatabase | None = None
        self.inode = 0
        self.pid = 0
        self._turn: TurnFile | None = None
        self._inherited: list[Any] = []  # of the process that this one was forked from

    def turn(self, path: str) -> int:
        """The descriptor that is locked. Raises OSError."""
        if self._turn is None or self.pid != os.getpid():  # a lock is shared with a fork's parent
            self._turn = TurnFile(path)
            self.pid = os.getpid()
        return self._turn.descriptor

    def forget(self) -> None:
        """Closes the connection; a fork's parent may still use its own."""
        if self.pid != os.getpid():
            self._inherited.append(self.opened)
        self.opened = None


def _is_broken(error: Exception) -> bool:
    """Whether the file, and not what was asked of it, is at fault."""
    if type(error) is sqlite3.DatabaseError:  # malformed, or no database at all
        return True
    words = ("no such table", "no such column", "disk I/O error", "readonly database")
    return isinstance(error, sqlite3.OperationalError) and any(w in str(error) for w in words)
