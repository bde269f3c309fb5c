"""Keeping the driver's state of a GPU up while nobody uses the GPU."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from handouts.client.errors import BadSetup
from handouts.executor.machine.device_files import minor_of
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.processes import kill_group

# The driver keeps a GPU's state as long as a process has its device file open
# (https://docs.nvidia.com/deploy/driver-persistence/persistence-daemon.html). Opening starts the
# driver, which takes long and may hang, so a process of its own does it: it ends when its standard
# input closes, also because this one was killed.
HOLD = 'exec 3<"$1" || exit; read -r _'


class HeldOpen:
    """One GPU's device file. For the GPU's one worker alone."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._process: Any = None

    def hold(self) -> None:
        """Begins to, unless it does already; does not wait for the driver."""
        if self._process is not None and self._process.poll() is None:
            return
        self.release()
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", HOLD, "sh", self._node],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def release(self) -> None:
        """Ends it, so that the GPU can be reset."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            kill_group(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)

    @property
    def is_open(self) -> bool:
        """Whether the driver is up for it."""
        process = self._process
        return process is not None and os.path.lexists(f"/proc/{process.pid}/fd/3")


def holders(gpus: list[Gpu], wholes: set[str]) -> dict[str, HeldOpen]:
    """For those GPUs whose whole is one of these, by the GPU's UUID."""
    found = {}
    for gpu in gpus:
        if (gpu.whole or gpu.uuid) in wholes:
            with suppress(BadSetup):  # then each look may take long, and nothing else is lost
                found[gpu.uuid] = HeldOpen(f"/dev/nvidia{minor_of(gpu, Path('/'))}")
    return found
