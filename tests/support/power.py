"""Power cuts: what a disk may hold after one, from a trace of what a server wrote.

The server runs with tests/support/trace_writes.cpp preloaded. A cut keeps all that was synced, and
of what was written since then any part: of each block any number of the writes to it, in order.
Whoever was told something notes it in the same trace (`Trace.told`), so that a cut knows what had
been promised.
"""

import functools
import os
import random
import struct
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = 4096
DATABASE, LOG, AUDIT = 1, 2, 3
NAMES = {DATABASE: "db.sqlite3", LOG: "db.sqlite3-wal", AUDIT: "audit_log.jsonl"}

_HEADER = struct.Struct("=BBHIq")


@functools.cache
def library() -> Path:
    """The compiled library, to be preloaded."""
    source = Path(__file__).with_name("trace_writes.cpp")
    made = Path(tempfile.mkdtemp(prefix="telerun-trace-")) / "trace_writes.so"
    subprocess.run(
        ["g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True
    )
    return made


class Record(NamedTuple):
    """A write, the beginning or end of a sync, a truncation, or what somebody was told."""

    kind: str
    file: int
    offset: int  # of a write; of a sync the descriptor, which pairs its beginning and end
    data: bytes


class Trace:
    """The trace of a server whose data is in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trace"
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.environment = {"LD_PRELOAD": str(library()), "TELERUN_TRACE": str(self._path)}

    def told(self, text: str) -> None:
        """Somebody knows this now."""
        data = text.encode()
        os.write(self._file, _HEADER.pack(ord("A"), 0, 0, len(data), 0) + data)

    def records(self) -> list[Record]:
        content, place, found = self._path.read_bytes(), 0, []
        while place < len(content):
            kind, file, _, length, offset = _HEADER.unpack_from(content, place)
            place += _HEADER.size
            found.append(Record(chr(kind), file, offset, content[place : place + length]))
            place += length
        return found


class _File:
    """One file: what is on the disk for certain, and what was written since."""

    def __init__(self, content: bytes) -> None:
        self.certain = bytearray(content)
        self.pending: list[Record] = []
        self._begun: dict[int, int] = {}  # how much was pending when a descriptor's sync began

    def add(self, record: Record) -> None:
        if record.kind in "WT":
            self.pending.append(record)
        elif record.kind == "B":
            self._begun[record.offset] = len(self.pending)
        elif record.kind == "E":
            count = self._begun.pop(record.offset, 0)
            for pending in self.pending[:count]:
                _apply(self.certain, pending)
            del self.pending[:count]
            self._begun = {fd: max(0, n - count) for fd, n in self._begun.items()}

    def after_a_cut(self, rng: random.Random) -> bytes:
        """Of each block any number of the writes to it, in order."""
        content = bytearray(self.certain)
        kept = _how_many_of_each_block(self.pending, rng)
        for record in self.pending:
            if record.kind == "T":
                if rng.random() < 0.5:
                    _apply(content, record)
                continue
            for block, start, piece in _pieces(record):
                if kept[block] > 0:
                    kept[block] -= 1
                    _apply(content, Record("W", record.file, start, piece))
        return bytes(content)

    def shortened(self, rng: random.Random) -> bytes:
        """For a file that only grows: all that is certain, and of the rest a beginning."""
        content = bytearray(self.certain)
        for record in self.pending:
            _apply(content, record)
        at_least = min(len(self.certain), len(content))
        return bytes(content[: rng.randint(at_least, len(content))])


def _how_many_of_each_block(pending: list[Record], rng: random.Random) -> dict[int, int]:
    writes: dict[int, int] = defaultdict(int)
    for record in pending:
        if record.kind == "W":
            for block, _, _ in _pieces(record):
                writes[block] += 1
    likely = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    return {
        block: count if rng.random() < likely else rng.randint(0, count - 1)
        for block, count in writes.items()
    }


def _pieces(record: Record) -> Iterator[tuple[int, int, bytes]]:
    """A write, cut at the bounds of blocks: the block, where it begins, its bytes."""
    start, end = record.offset, record.offset + len(record.data)
    while start < end:
        stop = min(end, (start // BLOCK + 1) * BLOCK)
        yield start // BLOCK, start, record.data[start - record.offset : stop - record.offset]
        start = stop


def _apply(content: bytearray, record: Record) -> None:
    if record.kind == "T":
        del content[record.offset :]
        content.extend(bytes(record.offset - len(content)))
        return
    end = record.offset + len(record.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[record.offset : end] = record.data


class Cut(NamedTuple):
    """The power fails: what the disk holds, and what somebody knew by then."""

    files: dict[str, bytes]
    told: list[str]


def cuts(
    records: list[Record], before: dict[str, bytes], count: int, rng: random.Random
) -> Iterator[Cut]:
    """`count` cuts at random places of a trace that began with these files."""
    places = sorted(rng.randint(0, len(records)) for _ in range(count))
    files = {number: _File(before.get(name, b"")) for number, name in NAMES.items()}
    told: list[str] = []
    done = 0
    for place in places:
        for record in records[done:place]:
            if record.kind == "A":
                told.append(record.data.decode())
            else:
                files[record.file].add(record)
        done = max(done, place)
        yield Cut(
            {
                NAMES[number]: file.shortened(rng) if number == AUDIT else file.after_a_cut(rng)
                for number, file in files.items()
            },
            list(told),
        )
