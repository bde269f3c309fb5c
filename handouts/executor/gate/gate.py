"""The gate: what a GPU must show before it gets the next job.

A GPU is looked at once after each job; more is asked of it only where there is doubt. One that
fails is quarantined alone: its worker takes no job until it passes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from handouts.client.retries import delays
from handouts.executor.base.say import say
from handouts.executor.gate.idle_memory import IdleMemory
from handouts.executor.gate.kernel_log import RESET_XIDS, KernelLog
from handouts.executor.gate.readings import GpuReader, Reading
from handouts.executor.gate.recovery import RECOVERY_XID, xid_asks_for_reset
from handouts.executor.machine.gpu import Gpu, GpuTrouble, SmiSlow, identity
from handouts.executor.machine.held_open import HeldOpen
from handouts.executor.machine.processes import is_running
from handouts.executor.slot.protocol import Ended

SETTLE_SECONDS = 10  # how long what was killed may still be seen on its GPU
QUARANTINE_SECONDS = (5.0, 300.0)  # between tries of a GPU that failed: minimum and maximum
STEADY_SECONDS = 600  # a GPU that fails again sooner is tried with further backoff


class Gate:
    """One GPU, as it was last seen, and whether it may have jobs. For its one worker alone."""

    def __init__(
        self, gpu: Gpu, kernel_log: KernelLog | None, held: HeldOpen | None = None
    ) -> None:
        """`kernel_log`: None if it cannot be read. `held`: what keeps the driver up where
        persistence mode does not."""
        self.gpu = gpu
        self.reading: dict[str, Any] = {}  # as results show it
        self.doubtful = True  # it must show that it computes
        self.ready = False
        self.quarantined = ""  # why
        self.since = ""
        self.unkillable: list[int] = []  # processes that SIGKILL did not end
        self._kernel_log = kernel_log if gpu.bus else None
        self._held = held
        self._was_read = False
        self._slow_looks = 0  # in a row
        self._doubts: frozenset[str] = frozenset()  # of the last look
        self._tried_doubts: frozenset[str] = frozenset()  # those with which it computed
        self._reader = GpuReader(gpu)
        self._idle_memory = IdleMemory(gpu)
        self._broken = ""  # found right after a job: why it is to be quarantined
        self._clean = False  # found right after a job: nothing is left of it
        self._pauses = delays(*QUARANTINE_SECONDS)
        self._passed_at = float("-inf")

    def about(self) -> dict[str, Any]:
        """What staff see of it."""
        if not self.quarantined:
            condition = "ready" if self.ready else "not yet tried"
            return {**identity(self.gpu), "condition": condition}
        return {
            **identity(self.gpu),
            "condition": "quarantined",
            "reason": self.quarantined[:500],
            "since": self.since,
        }

    def stamp(self) -> dict[str, Any]:
        """What a result says of it: which it was, and how it was when the program had ended."""
        return {**identity(self.gpu), **self.reading}

    def look(self) -> str:
        """What is on it that should not be, "" for nothing. Raises GpuTrouble if it is broken."""
        self._idle_memory.begin_look()
        self._look_for_xids()
        alive = [pid for pid in self.unkillable if is_running(pid)]
        if alive:
            raise GpuTrouble(f"process {alive[0]} on it cannot be killed")
        self.unkillable = []
        seen = self._read()
        self.reading = seen.members()
        if seen.reset_wanted:
            raise GpuTrouble(f"the driver asks for: {seen.reset_wanted}")
        if seen.broken:
            raise GpuTrouble(f"nvidia-smi says of it: {seen.broken}")
        self._doubts = seen.doubts()
        self._tried_doubts &= self._doubts
        self.doubtful = self.doubtful or self._doubts != self._tried_doubts
        if seen.processes:
            return f"processes are on it: {', '.join(seen.processes[:5])}"
        return self._idle_memory.excess(seen.used_mib)

    def _read(self) -> Reading:
        """Raises GpuTrouble. The driver gets time to start where it may have to: at first, without
        persistence mode, and after it was slow twice."""
        is_down = self._held is not None and not self._held.is_open
        may_start = not self._was_read or is_down or self._slow_looks > 1
        try:
            seen = self._reader.read(may_start)
        except SmiSlow:
            self._slow_looks += 1
            raise
        self._was_read = True
        if not may_start:
            self._slow_looks = 0
        return seen

    def look_after(self, ended: Ended) -> str:
        """The same right after a job: why its result does not count, "" if it does."""
        # A program that fails by itself says nothing of the GPU, if Xid errors can be seen.
        crashed = ended.why != "ended" or ended.signal is not None
        failed_unseen = self._kernel_log is None and ended.exit_code != 0
        self.doubtful = self.doubtful or crashed or failed_unseen
        self.unkillable = ended.unkillable
        try:
            self._clean = not self.look()
        except SmiSlow:  # the result counts; before the next job it must answer
            self.doubtful, self.reading = True, {}
        except GpuTrouble as trouble:
            self._broken = str(trouble)
        return self._broken

    def was_killed(self, ended: Ended) -> None:
        """A program was killed on it, if it had begun: `check` looks, so that the job goes back
        before a slow nvidia-smi answers."""
        self.doubtful = self.doubtful or bool(ended.seconds)
        self.unkillable = [*self.unkillable, *ended.unkillable]

    def _look_for_xids(self) -> None:
        for xid, words in self._kernel_log.new_xids(self.gpu.bus) if self._kernel_log else []:
            say(f"GPU {self.gpu.index}: Xid {xid}: {words[:200]}")
            self.doubtful = True
            if xid in RESET_XIDS or (xid == RECOVERY_XID and xid_asks_for_reset(words)):
                raise GpuTrouble(f"Xid {xid} ({words[:200] or 'no words'})")

    def check(self, probe: Callable[[], None]) -> None:
        """Returns if the GPU may have the next job. Raises GpuTrouble.

        `probe` raises GpuTrouble if the GPU cannot compute; it is called only where there is doubt.
        """
        if self._broken:
            why, self._broken = self._broken, ""
            raise GpuTrouble(why)
        clean, self._clean = self._clean, False
        try:
            if not clean:
                self._settle()
        except GpuTrouble:
            if not self._idle_memory.check_failed():
                raise
            self.doubtful = True
        self._idle_memory.check_passed()
        if self.doubtful:
            probe()
            self._settle()
            self._tried_doubts = self._doubts
            self.doubtful = False

    def _settle(self) -> None:
        """Waits for what was killed a moment ago, which may still be seen. Raises GpuTrouble."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            left = self.look()
            if not left:
                return
            if time.monotonic() > deadline:
                raise GpuTrouble(left)
            time.sleep(0.1)

    def quarantine(self, why: str) -> bool:
        """Takes it out of service; returns whether it was not already, for that reason."""
        changed = self.quarantined != why
        if not self.quarantined:
            self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if time.monotonic() - self._passed_at > STEADY_SECONDS:
                self._pauses = delays(*QUARANTINE_SECONDS)
        self.ready, self.quarantined, self.doubtful = False, why, True
        if self._held is not None:
            self._held.release()  # so that it can be reset
        return changed

    def passed(self) -> bool:
        """It may have jobs; returns whether it could not before."""
        if self._held is not None:
            self._held.hold()
        if self.ready:
            return False
        self.ready, self.quarantined, self._passed_at = True, "", time.monotonic()
        return True

    def pause(self) -> float:
        """How long to wait before it is tried again."""
        return next(self._pauses)
