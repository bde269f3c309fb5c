"""The jobs that this executor holds the leases of."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.sandbox.command import Command
from handouts.executor.slot.protocol import Ended
from handouts.executor.slot.slot import Slot

OVERDUE_SECONDS = 30  # past a job's limit, after which its slot is stuck


class Attempt:
    """One of them, on its way through the pipeline."""

    def __init__(self, claimed: dict[str, Any], folder: Path) -> None:
        """`claimed`: the body of a claim's answer. Raises KeyError, TypeError, ValueError."""
        self.id = int(claimed["attempt"]["id"])
        self.lease_token = str(claimed["attempt"]["lease_token"])
        self.lease_seconds = float(claimed["attempt"]["lease_seconds"])
        self.job_id = int(claimed["job"]["id"])
        self.source = str(claimed["job"]["source"])
        self.filename = str(claimed["job"]["filename"])
        self.platform = str(claimed["job"].get("platform", "cuda"))
        self.args = [str(arg) for arg in claimed["job"]["args"]]
        given = {name: int(value) for name, value in claimed["job"]["limits"].items()}
        self.limits = {**DEFAULT_LIMITS, **given}
        self.folder = folder / str(self.id)
        self.phase = "compiling"
        self.report: dict[str, Any] = {}
        self.files: list[dict[str, Any]] = []  # what its program left in ./out/
        self.taken = threading.Event()  # an execution worker has it
        self.stop_reason = ""  # if it must not go on; no result is sent then
        self.lost = False  # the lease is another executor's: nothing is reported at all
        self._slot: Slot | None = None
        self._overdue_at = float("inf")  # when what runs should have ended long ago
        self._lock = threading.Lock()

    def stop(self, reason: str, lost: bool = False) -> None:
        """Kills what runs for this job, now and from now on."""
        with self._lock:
            self.stop_reason = self.stop_reason or reason
            self.lost = self.lost or lost
            slot = self._slot
        self.taken.set()
        if slot is not None:
            slot.kill()

    def run(self, slot: Slot, command: Command, seconds: float) -> Ended:
        """Runs a command of this job in a slot, unless the job was stopped. Raises OSError."""
        with self._lock:
            self._slot = slot
            self._overdue_at = time.monotonic() + seconds + OVERDUE_SECONDS
        try:
            return slot.run(command, seconds, self.limits, lambda: not self.stop_reason)
        finally:
            with self._lock:
                self._slot = None
                self._overdue_at = float("inf")

    def give_up_if_stuck(self) -> bool:
        """Kills the slot if what it runs is still there long after its limit; whether it was."""
        with self._lock:
            stuck, slot = time.monotonic() > self._overdue_at, self._slot
        if stuck and slot is not None:
            self.stop("it could not be stopped in time")
            slot.destroy()
        return stuck


class JobsInHand:
    """Those of this executor. Each stays until its result is sent or it was given back."""

    def __init__(self) -> None:
        self._attempts: dict[int, Attempt] = {}
        self._lock = threading.Lock()

    def add(self, attempt: Attempt) -> None:
        """From now on its lease is renewed."""
        with self._lock:
            self._attempts[attempt.id] = attempt

    def forget(self, attempt_id: int) -> None:
        """It is over here."""
        with self._lock:
            self._attempts.pop(attempt_id, None)

    def has(self, attempt: Attempt) -> bool:
        """Whether it is not over yet."""
        return attempt.id in self._attempts

    def all(self) -> list[Attempt]:
        """As they are at this moment."""
        with self._lock:
            return list(self._attempts.values())
