"""What programs printed, in pieces: the beginning and the end of each log of an attempt.

Offsets count a log's bytes. What is there is never changed: of what comes again, or overlaps, only
the bytes after the last are taken, and an offset beyond it leaves a gap. The key is made from the
lease token, so that an attempt whose number was given twice (a power cut, a backup) never shows
another's output.
"""

import functools
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from courses import limits
from foundation.database import connections

LOGS = ("compile", "execute")  # in the table by their places

# The first megabyte of a log is kept, as a result's log would be, and the last 256 KiB that came.
HEAD_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024
# Of tiny pieces so many: each costs some 60 bytes more than what is in it.
HEAD_PIECES = 8192
TAIL_PIECES = 2048
PIECE_BYTES = 16 * 1024
_PRUNED_EVERY_BYTES = 64 * 1024
_PRUNED_EVERY_PIECES = 1024

# SQLite's tables; a migration makes PostgreSQL's.
TABLES = (
    "CREATE TABLE jobs_livepiece (key INTEGER NOT NULL, log INTEGER NOT NULL, "
    "stop INTEGER NOT NULL, start INTEGER NOT NULL, number INTEGER NOT NULL, "
    "attempt_id INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (key, log, stop)) "
    "WITHOUT ROWID",
    "CREATE TABLE jobs_livewatch (job_id INTEGER NOT NULL, process INTEGER NOT NULL, "
    "until REAL NOT NULL, PRIMARY KEY (job_id, process)) WITHOUT ROWID",
)

# Two that are sent at once may overlap in the table; who reads takes each byte once.
APPEND = (
    "INSERT INTO jobs_livepiece (key, log, stop, start, number, attempt_id, content) "
    "SELECT %s, %s, %s, CASE WHEN last.stop > %s THEN last.stop ELSE %s END, last.number + 1, %s, "
    "substr(%s, CAST(CASE WHEN last.stop > %s THEN last.stop - %s ELSE 0 END + 1 AS INTEGER)) "
    "FROM (SELECT COALESCE(MAX(stop), 0) AS stop, COALESCE(MAX(number), 0) AS number FROM "
    "(SELECT stop, number FROM jobs_livepiece WHERE key = %s AND log = %s "
    "ORDER BY stop DESC LIMIT 1) AS newest) AS last WHERE last.stop < %s "
    "ON CONFLICT DO NOTHING RETURNING number"
)
_OF_LOG = (
    "SELECT log, stop, start, content FROM jobs_livepiece "
    "WHERE key = %s AND log = %s AND stop > %s ORDER BY stop LIMIT %s"
)
READ = " UNION ALL ".join(f"SELECT * FROM ({_OF_LOG}) AS {log}" for log in LOGS)  # noqa: S608
_DROP_ALL = "DELETE FROM jobs_livepiece WHERE key = %s"
_DROP_MIDDLE = "DELETE FROM jobs_livepiece WHERE key = %s AND log = %s AND stop > %s AND stop <= %s"
_DROP_TINY = (
    "DELETE FROM jobs_livepiece WHERE key = %s AND log = %s AND number > %s AND number <= %s"
)


class Piece(NamedTuple):
    """Bytes that stand together in a log."""

    log: str
    start: int
    content: bytes

    @property
    def stop(self) -> int:
        return self.start + len(self.content)


@functools.lru_cache(maxsize=1024)
def key_of(lease_token: str) -> int:
    """By which an attempt's output is found."""
    return int.from_bytes(hashlib.sha256(lease_token.encode()).digest()[:8], "big") >> 1


def append(key: int, attempt_id: int, log: str, offset: int, content: bytes) -> bool:
    """Keeps what is new; whether anything is. Raises DatabaseError."""
    place, is_new = LOGS.index(log), False
    for begin in range(0, len(content), PIECE_BYTES):
        part = content[begin : begin + PIECE_BYTES]
        start = offset + begin
        stop = start + len(part)
        rows = connections.scratch().rows(
            APPEND,
            *(key, place, stop, start, start, attempt_id, part, start, start, key, place, stop),
        )
        for (number,) in rows:
            is_new = True
            _prune(key, place, start, stop, number)
    return is_new


def _prune(key: int, place: int, start: int, stop: int, number: int) -> None:
    """Now and then; so a log is a little larger than it is meant to be."""
    rows = connections.scratch().rows
    beyond = stop - TAIL_BYTES
    if beyond > HEAD_BYTES and start // _PRUNED_EVERY_BYTES != stop // _PRUNED_EVERY_BYTES:
        rows(_DROP_MIDDLE, key, place, HEAD_BYTES, beyond)
    if number > HEAD_PIECES + TAIL_PIECES and number % _PRUNED_EVERY_PIECES == 0:
        rows(_DROP_TINY, key, place, HEAD_PIECES, number - TAIL_PIECES)


def after(key: int, offsets: tuple[int, int], most: int) -> list[Piece]:
    """What follows these offsets, at most so many pieces of each log, cut to what is new.

    Raises DatabaseError.
    """
    compiled, executed = offsets
    rows = connections.scratch().rows(READ, key, 0, compiled, most, key, 1, executed, most)
    known, found = [compiled, executed], []
    for place, stop, start, content in rows:
        if stop > known[place]:
            begin = max(start, known[place])
            found.append(Piece(LOGS[place], begin, bytes(content)[begin - start :]))
            known[place] = stop
    return found


def drop(lease_token: str) -> None:
    """Nothing of an attempt is kept any longer. Raises DatabaseError."""
    connections.scratch().rows(_DROP_ALL, key_of(lease_token))


def partial_logs(lease_token: str) -> dict[str, bytes]:
    """What is kept of an attempt that ends without a result, by the names of its logs.

    As long as a result's log may be, with a note where something is left out. Raises DatabaseError.
    """
    found: dict[str, list[Piece]] = {}
    for piece in after(key_of(lease_token), (0, 0), 2 * (HEAD_PIECES + TAIL_PIECES)):
        found.setdefault(f"{piece.log}_log", []).append(piece)
    maximum = limits.of_a_job()["log_bytes"]
    return {name: _joined(pieces, maximum) for name, pieces in found.items()}


def _joined(pieces: list[Piece], maximum: int) -> bytes:
    """The beginning and the end, if there is more; each note says what is missing in its place."""
    if sum(len(piece.content) for piece in pieces) > maximum:
        head = maximum * 3 // 4
        pieces = [*_first(pieces, head), *_last(pieces, maximum - head)]
    parts, known = [], 0
    for piece in pieces:
        if piece.start > known:
            parts.append(_note(piece.start - known))
        parts.append(piece.content)
        known = piece.stop
    return b"".join(parts)


def _first(pieces: list[Piece], size: int) -> Iterator[Piece]:
    """The first bytes of them, `size` in all."""
    for piece in pieces:
        if size > 0:
            yield piece._replace(content=piece.content[:size])
        size -= len(piece.content)


def _last(pieces: list[Piece], size: int) -> list[Piece]:
    """The last ones."""
    found = []
    for piece in reversed(pieces):
        if size > 0:
            skipped = max(0, len(piece.content) - size)
            found.append(
                piece._replace(start=piece.start + skipped, content=piece.content[skipped:])
            )
        size -= len(piece.content)
    return found[::-1]


def _note(size: int) -> bytes:
    return b"\n[... %d bytes left out ...]\n" % size
