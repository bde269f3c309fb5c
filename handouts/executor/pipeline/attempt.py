"""The jobs that this executor holds the leases of."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from handouts.executor.base.file_names import why_unsafe
from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.pipeline.job_files import has_ending, main_name, texts, with_small_ending
from handouts.executor.pipeline.live_stream import LiveStream
from handouts.executor.results.archive import Found
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
        job = claimed["job"]
        self.job_id = int(job["id"])
        self.args = [str(arg) for arg in job["args"]]
        self.platform = str(job.get("platform") or "cuda")  # an older queue sends none of these
        self.flags = [str(flag) for flag in job.get("flags") or ()]
        self.asm = bool(job.get("asm"))
        self.sources = texts(job.get("sources"))
        includes = texts(job.get("includes"))
        self.main = main_name(str(job["filename"]), [*self.sources, *includes])
        # Nothing of a job whose files cannot be written where they belong is written at all.
        self.problem = why_unsafe([self.main, *self.sources, *includes])
        if not self.is_python:
            self.main = with_small_ending(self.main)
            self.sources = {with_small_ending(name): t for name, t in self.sources.items()}
        self.job_files = {self.main: str(job["source"]), **self.sources, **includes}
        # What its program finds where it runs. What is in out/ there would come back.
        self.beside = {name: t for name, t in includes.items() if name.split("/")[0] != "out"}
        given = {name: int(value) for name, value in job["limits"].items()}
        self.limits = {**DEFAULT_LIMITS, **given}
        self.folder = folder / str(self.id)
        self.phase = "compiling"
        self.report: dict[str, Any] = {}
        self.live: LiveStream | None = None  # what it prints, for those who watch
        self.may_send_logs = False  # the queue takes them from an attempt without a result
        self.asm_files: list[Found] = []  # what shows its program, in the archive `asm_archive`
        self.files: list[dict[str, Any]] = []  # what comes back of it
        self.taken = threading.Event()  # an execution worker has it
        self.stop_reason = ""  # if it must not go on; no result is sent then
        self.lost = False  # the lease is another executor's: nothing is reported at all
        self.counts = True  # as one of the job's attempts, if it is given back
        self._slot: Slot | None = None
        self._ends_by = 0.0  # when what runs has ended or met its limit
        self._overdue_at = float("inf")  # when what runs should have ended long ago
        self._lock = threading.Lock()

    @property
    def asm_archive(self) -> Path:
        """Where its compile leaves `asm_files`."""
        return self.folder / "asm.archive"

    @property
    def is_python(self) -> bool:
        """Whether it is run by an interpreter, and not compiled."""
        return has_ending(self.main, ".py")

    def stop(self, reason: str, lost: bool = False, counts: bool = True) -> None:
        """Kills what runs for this job, now and from now on.

        `counts`: False where the job had no part in it.
        """
        with self._lock:
            self.counts = self.counts if self.stop_reason else counts
            self.stop_reason = self.stop_reason or reason
            self.lost = self.lost or lost
            slot = self._slot
        self.close_live()
        self.taken.set()
        if slot is not None:
            slot.kill()

    def run(self, slot: Slot, command: Command, seconds: float) -> Ended:
        """Runs a command of this job in a slot, unless the job was stopped. Raises OSError."""
        with self._lock:
            self._slot = slot
            self._ends_by = time.monotonic() + seconds
            self._overdue_at = self._ends_by + OVERDUE_SECONDS
        try:
            return slot.run(command, seconds, self.limits, lambda: not self.stop_reason, self.live)
        finally:
            with self._lock:
                self._slot = None
                self._overdue_at = float("inf")

    def compiled(self, log: str, **members: Any) -> None:
        """What the compiler said, and more for the report; its program may run next."""
        self.report = {"compile_log": log, **members}
        if self.live is not None:
            self.live.compiled(log.encode("utf-8", "surrogateescape"), self.limits["log_bytes"])

    def logs(self) -> dict[str, str]:
        """What was printed so far."""
        names = ("compile_log", "execute_log")
        return {name: self.report[name] for name in names if self.report.get(name)}

    def close_live(self) -> None:
        """What it prints goes to nobody any more."""
        if self.live is not None:
            self.live.close()

    def longest(self) -> float:
        """How many seconds it may still take once its worker is free: as long as its limits let it.

        What is being sent takes none.
        """
        running = max(0.0, self._ends_by - time.monotonic())
        if self.phase == "compiling":
            not_begun = 0 if self._ends_by else self.limits["compile_seconds"]
            return running + not_begun + self.limits["execute_seconds"]
        return running if self.phase == "executing" else self.limits["execute_seconds"]

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
