"""One fdatasync for many commits (group commit), in a server on SQLite.

The hub's commits are written to SQLite's write-ahead log and not yet on the disk
(`synchronous=NORMAL`). Whatever rests on one may leave only after an fdatasync of the log that
began when the commit was written; one serves all who wait. docs/adr/0017 says on what conditions
this is sound. Native threads and commands commit with FULL, each with a sync of its own.

Three numbers in memory that the server's processes share say how far it is:

- `begun`: the commits that began. Set under the writers' turn, before a commit can be seen.
- `written`: of these, the last that is in the log.
- `synced`: the last that is on the disk.

Who has read the database waits until `synced` is what `begun` was then.
"""

import contextlib
import logging
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import OperationalError

from foundation.serving import greenlets

log = logging.getLogger(__name__)

_TRIES_FOR_A_COMMIT = 50  # one in a millisecond: it takes less to write a commit to the log
_CHECKPOINT_COMMITS = 500
_CHECKPOINT_SECONDS = 30.0
LOG_BYTES = 64 << 20  # a log that is larger is not left to grow, and shrinks again
_NUMBER = struct.Struct("=Q")


class _Shared:
    """A number in memory that is shared with the processes forked from this one."""

    def __init__(self, memory: mmap.mmap, place: int) -> None:
        self._memory, self._place = memory, place * _NUMBER.size

    def get(self) -> int:
        return _NUMBER.unpack_from(self._memory, self._place)[0]

    def set(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, self._place, value)


class SharedSync:
    """The log of one database, and what of it is on the disk. To be made before the forks."""

    def __init__(self, database: Path, in_a_turn: Callable[[Callable[[], None]], None]) -> None:
        """`in_a_turn` calls a function while nobody commits. Raises OperationalError."""
        self._log = Path(f"{database}-wal")
        self._in_a_turn = in_a_turn
        memory = mmap.mmap(-1, 4 * _NUMBER.size)
        self._begun, self._written, self._synced, self._checkpointed = (
            _Shared(memory, place) for place in range(4)
        )
        self._checkpoint_at = 0.0
        self._syncs: Any = None  # an event, set when the sync that goes on has ended
        self._file = -1
        self._inode = 0

    def begin_process(self) -> None:
        """In each process of the server, as it begins: whatever the disk refuses from now on, the
        descriptor tells of."""
        self._descriptor()

    # --- Around a commit, under the writers' turn ---

    def commit_begins(self) -> None:
        """From now on nobody who reads may answer without a sync."""
        self._begun.set(self._begun.get() + 1)

    def commit_is_written(self) -> None:
        """It is in the log, or was given up."""
        self._written.set(self._begun.get())

    # --- Before anything leaves ---

    def wait(self) -> None:
        """Returns when all that could be read until now is on the disk."""
        wanted = self._begun.get()
        while self._synced.get() < wanted:
            if greenlets.in_native_thread():
                self._sync(wanted)
            elif self._syncs is not None:
                self._syncs.wait()  # it may have begun too early for us
            else:
                self._sync_for_all(wanted)

    def _sync_for_all(self, wanted: int) -> None:
        ended = self._syncs = greenlets.Event()
        try:
            greenlets.in_a_thread(self._sync, wanted)
        finally:
            self._syncs = None
            ended.set()

    def _sync(self, wanted: int) -> None:
        """Puts on the disk what is written now, and the commit `wanted` with it. Takes as long as
        the disk."""
        written = self._written_up_to(wanted)
        descriptor = self._descriptor()
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            _stop_the_server(error)
        if written > self._synced.get():
            self._synced.set(written)

    def _written_up_to(self, wanted: int) -> int:
        for _ in range(_TRIES_FOR_A_COMMIT):
            if (written := self._written.get()) >= wanted:
                return written
            greenlets.sleep(0.001)
        with contextlib.suppress(OperationalError):  # then again
            self._in_a_turn(self.commit_is_written)  # its process was killed as it committed
        return self._written.get()

    def checkpoint_is_due(self) -> bool:
        """Whether many commits, large ones, or those of long ago are in the log alone. True to one
        who asks."""
        commits = self._begun.get() - self._checkpointed.get()
        since = time.monotonic() - self._checkpoint_at
        is_soon = commits < _CHECKPOINT_COMMITS and since < _CHECKPOINT_SECONDS
        if is_soon and not (commits and self._log_bytes() > LOG_BYTES):
            return False
        self._checkpointed.set(self._begun.get())
        self._checkpoint_at = time.monotonic()
        return True

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:  # there is none before the first commit
            return 0

    def _descriptor(self) -> int:
        """Of the log as it is now: a command that was alone may have made it anew."""
        if self._file < 0 or os.stat(self._log).st_ino != self._inode:  # raises OSError
            self._file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            self._inode = os.fstat(self._file).st_ino
        return self._file


def _stop_the_server(error: OSError) -> None:
    """What the disk refused may be lost to the kernel too: nobody may count on it again."""
    log.critical("The disk refuses the database: %s. The server stops.", error.strerror)
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(70)
