"""A gate for each GPU of this executor."""

from __future__ import annotations

from pathlib import Path

from handouts.executor.base.say import say
from handouts.executor.gate.gate import Gate
from handouts.executor.gate.kernel_log import KernelLog
from handouts.executor.machine.driver_start import without_persistence
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.held_open import holders


def make_gates(gpus: list[Gpu], kernel_log: Path) -> list[Gate]:
    """`kernel_log`: where the driver's Xid errors are read. As root, turns persistence mode on."""
    held = holders(gpus, without_persistence(gpus))
    return [Gate(gpu, open_log(kernel_log, gpu is gpus[0]), held.get(gpu.uuid)) for gpu in gpus]


def open_log(path: Path, says_why: bool) -> KernelLog | None:
    """None if it cannot be read."""
    try:
        return KernelLog(path)
    except OSError as error:
        if says_why:
            say(
                f"{path} cannot be read ({error.strerror}): Xid errors of the GPUs go unseen, so a "
                "GPU is tried after each program that failed."
            )
        return None
