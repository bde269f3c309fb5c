"""What was deleted is not only hidden: pages that SQLite keeps for later are overwritten.

SQLite leaves deleted rows in free pages of its file, in gaps of pages that are in use, and in its
log. VACUUM writes the whole file anew without them; then the log is cut to nothing. Both in the
writers' turn (foundation/database/sqlite/base.py).
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from django.db import OperationalError

from foundation.database.sqlite.base import in_a_turn

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 1 << 30  # a few seconds, in which nobody else writes: they are told to try again
_TURNS = 20
_BETWEEN_SECONDS = 0.25


def wipe(database: str, most_bytes: int | None = AT_ONCE_BYTES) -> bool:
    """Whether it was done: not where the file is larger than `most_bytes`, nor without room for a
    second one on the disk. The log is emptied whatever the size."""
    path = Path(database)
    is_small = most_bytes is None or path.stat().st_size <= most_bytes
    done = is_small and _with_connection(path, _vacuum)
    return _with_connection(path, _empty_log) and done


def empty_log(database: str) -> bool:
    """Moves the whole log into the database, and cuts it to nothing; False: somebody was reading
    all the while."""
    return _with_connection(Path(database), _empty_log)


def _with_connection(path: Path, act: Callable[[Path, sqlite3.Connection], bool]) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as opened:
            opened.execute("PRAGMA synchronous = FULL")
            return act(path, opened)
    except (sqlite3.Error, OperationalError) as error:
        log.warning("Free pages of %s are not overwritten: %s", path.name, error)
        return False


def _vacuum(path: Path, opened: sqlite3.Connection) -> bool:
    in_a_turn(path, lambda: opened.execute("VACUUM").fetchall())
    return True


def _empty_log(path: Path, opened: sqlite3.Connection) -> bool:
    opened.execute("PRAGMA busy_timeout = 500")
    is_busy: list[int] = []

    def cut() -> None:
        is_busy[:] = opened.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]

    for _ in range(_TURNS):
        in_a_turn(path, cut)
        if is_busy == [0]:
            return True
        time.sleep(_BETWEEN_SECONDS)
    return False
