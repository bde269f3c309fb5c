"""What each command of this executor has in memory, where all its slots can read it.

A file in memory, open in each slot, with an entry of fixed size for each. Only when the
host's memory is nearly used up is anything read: each slot then tells by itself whose it is.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

ENTRY = struct.Struct("=qqq")
MAXIMUM_SLOTS = 4096


class Held(NamedTuple):
    """One command that runs now. All in bytes."""

    counted: int  # what its processes were found to have
    managed: int  # what it may have beyond that: managed memory, which the driver moves about
    limit: int  # how much it may have; 0 if nothing runs

    @property
    def excess(self) -> int:
        """How much more than its limit it has at most."""
        return self.counted + self.managed - self.limit


class MemoryBoard:
    """The file, with the place of one slot in it."""

    def __init__(self, descriptor: int, place: int) -> None:
        """`descriptor`: -1 for a slot that shares with no other."""
        self.descriptor = descriptor
        self.place = place

    def write(self, held: Held) -> None:
        """The slot's own entry."""
        if self.descriptor >= 0:
            os.pwrite(self.descriptor, ENTRY.pack(*held), self.place * ENTRY.size)

    def clear(self) -> None:
        """Nothing runs in this slot."""
        self.write(Held(0, 0, 0))

    def others(self) -> list[Held]:
        """What runs in the other slots."""
        if self.descriptor < 0:
            return []
        data = os.pread(self.descriptor, MAXIMUM_SLOTS * ENTRY.size, 0)
        whole = data[: len(data) - len(data) % ENTRY.size]
        entries = [Held(*entry) for entry in ENTRY.iter_unpack(whole)]
        return [held for at, held in enumerate(entries) if held.limit and at != self.place]


NO_BOARD = MemoryBoard(-1, 0)


class MemoryBoards:
    """Makes one of all slots of an executor."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("slots")  # on no disk that a program may fill
        self._places = 0

    def next(self) -> MemoryBoard:
        """The place of one more slot."""
        self._places += 1
        return MemoryBoard(self._descriptor, self._places - 1)
