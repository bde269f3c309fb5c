"""Whose the memory is that the host is short of."""

from __future__ import annotations

import time

from handouts.executor.machine.memory import (
    MEMINFO,
    NODES,
    host_is_short,
    is_all_beside_cpus,
    uncounted_on_host,
)
from handouts.executor.slot.memory_board import Held, MemoryBoard

PATIENCE_SECONDS = 2.0  # how long a command is left alone because another is suspected more


class Shortage:
    """Of one command, from its start on.

    A program can have memory that is in no process's count: managed memory that the GPU's driver
    moved to the host, files on their way through a socket. What can be seen is that since the
    program began the host has lost pages that are nobody's (`uncounted_on_host`).
    """

    def __init__(self, board: MemoryBoard, meminfo: str = MEMINFO, nodes: str = NODES) -> None:
        self._board = board
        self._meminfo = meminfo
        self._at_start = uncounted_on_host(meminfo)
        self._can_tell = is_all_beside_cpus(nodes)
        self._since: float | None = None
        self.lost = 0  # bytes that the host has lost to nobody since then

    def is_near(self) -> bool:
        """Whether it may come to that soon."""
        return host_is_short(self._meminfo, 2.0)

    def verdict(self, own: Held, anonymous: int) -> str:
        """What becomes of the command: "memory" if it evidently has more than its limit, "short" if
        it is to be given back, "" if it goes on.

        `anonymous`: what of its memory cannot be among the pages that are nobody's.
        """
        if not host_is_short(self._meminfo):
            self._since = None
            return ""
        self.lost = uncounted_on_host(self._meminfo) - self._at_start
        others = self._board.others()
        suspects = [other for other in others if other.excess > 0]
        is_too_much = self._can_tell and self.lost + anonymous > own.limit
        if is_too_much and (not others or (own.excess > 0 and not suspects)):
            return "memory"
        if own.excess >= max((other.excess for other in suspects), default=own.excess):
            return "short"
        return "short" if self._is_urgent() else ""

    def _is_urgent(self) -> bool:
        """Whether nothing came of leaving it alone."""
        now = time.monotonic()
        self._since = self._since or now
        return now - self._since > PATIENCE_SECONDS or host_is_short(self._meminfo, 0.5)
