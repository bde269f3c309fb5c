"""What the end of a command means for its job."""

from __future__ import annotations

from collections.abc import Callable

from handouts.client.errors import BadSetup
from handouts.client.words import in_mib
from handouts.executor.gate.gate import Gate
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.shutdown import Shutdown
from handouts.executor.sandbox.command import SandboxBroken
from handouts.executor.slot.protocol import Ended
from handouts.executor.slot.slot import Slot

GIVEN_BACK = {
    "lost": "the process that ran it was killed",
    "killed": "it was stopped",
    "short": "the host was short of memory",
}


def has_finished(attempt: Attempt, ended: Ended) -> bool:
    """Whether the command ended by itself or by a limit; if not, the job is given back."""
    if ended.why in GIVEN_BACK:
        attempt.stop(GIVEN_BACK[ended.why], counts=ended.why != "short")
    return ended.why not in GIVEN_BACK


def has_hit_limit(attempt: Attempt, ended: Ended, step: str) -> bool:
    """Whether a limit ended it; the report then says which. `step`: "compile" or "execute"."""
    limits = attempt.limits
    timeout = "compile_timeout" if step == "compile" else "runtime_timeout"
    hit = {
        "time": (timeout, f"{limits[step + '_seconds']} s"),
        "output": ("output_exceeded", in_mib(limits["output_bytes"])),
        "memory": ("memory_exceeded", in_mib(limits["memory_bytes"])),
    }.get(ended.why)
    if hit:
        attempt.report.update(outcome=hit[0], limit=hit[1])
    return hit is not None


class HostFaults:
    """What this host could not do is given back to the queue, and not held against the job."""

    def __init__(self, host: Host, shutdown: Shutdown) -> None:
        self._host = host
        self._shutdown = shutdown

    def guard(
        self, attempt: Attempt, slot: Slot, gate: Gate | None, step: Callable[[], bool]
    ) -> bool:
        """What the step returns; False if it failed because of this host."""
        try:
            return step()
        except SandboxBroken as error:
            attempt.stop(f"the host's sandbox failed: {error}")
            self._examine(slot, gate)
        except OSError as error:
            attempt.stop(f"the host could not run it: {error.strerror or error}")
        return False

    def _examine(self, slot: Slot, gate: Gate | None) -> None:
        """Was it this job alone, or its GPU? If not, the host is unfit."""
        try:
            self._host.try_sandbox(slot, None)
        except BadSetup as broken:
            self._shutdown.unfit(str(broken))
            return
        if gate is not None:
            gate.doubtful = True

    def lacks_room(self, attempt: Attempt) -> bool:
        """Whether the disk is full, where commands write if there is no sandbox: that they failed
        is then not the student's mistake."""
        if self._host.is_full():
            attempt.stop("the host's disk was full")
        return bool(attempt.stop_reason)
