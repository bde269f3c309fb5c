"""A tiny CUDA program that shows whether a GPU computes, run in the same sandbox as jobs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handouts.executor.gate.probe_cu import PROBE_CU

from handouts.client.errors import BadSetup
from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.base.text import in_text
from handouts.executor.gate.gate import Gate
from handouts.executor.machine.architectures import architecture_flags
from handouts.executor.machine.gpu import GpuTrouble
from handouts.executor.slot.protocol import Ended
from handouts.executor.slot.slot import Slot

PROBED = 43  # what probe.cu ends with if all is well
PROBE_COMPILE_SECONDS, PROBE_SECONDS = 120, 30
PROBE_LIMITS = {**DEFAULT_LIMITS, "log_bytes": 1 << 16, "output_bytes": 1 << 20}


class Probe:
    """Compiled once, when the executor starts."""

    def __init__(
        self,
        folder: Path,
        sandbox: Any,
        nvcc: str,
        architectures: list[str],
        options: Sequence[str] = (),
    ) -> None:
        """`options`: what nvcc is told in every compile."""
        self._folder = folder
        self._sandbox = sandbox
        self._nvcc = nvcc
        self._architectures = architectures
        self._options = options

    def compile(self, slot: Slot) -> None:
        """Raises BadSetup if nvcc cannot compile for the GPUs here."""
        shutil.rmtree(str(self._folder), ignore_errors=True)
        for name in ("src", "run", "tmp"):
            (self._folder / name).mkdir(parents=True)
        flags = architecture_flags(self._architectures)
        product = self._sandbox.places(self._folder).program
        argv = [self._nvcc, *self._options, *flags, "-o", product, "./probe.cu"]
        files = {"probe.cu": PROBE_CU}
        command = self._sandbox.compiler(self._folder, files, argv, DEFAULT_LIMITS)
        ended = slot.run(command, PROBE_COMPILE_SECONDS, PROBE_LIMITS, lambda: True)
        if ended.exit_code != 0:
            names = ", ".join(self._architectures)
            raise BadSetup(
                f"{self._nvcc} cannot compile for the GPUs here ({names}): {last_line(ended)}"
            )

    def run(self, slot: Slot, gate: Gate) -> None:
        """Raises GpuTrouble unless it runs well on the gate's GPU."""
        archive = self._folder / "out"
        command = self._sandbox.program(
            self._folder, [], self._nvcc, gate.gpu, archive, DEFAULT_LIMITS
        )
        try:
            ended = slot.run(command, PROBE_SECONDS, PROBE_LIMITS, lambda: True)
        except OSError as error:
            raise GpuTrouble(f"no program can be started on it: {error}") from None
        gate.unkillable = ended.unkillable
        if ended.exit_code != PROBED:
            raise GpuTrouble(f"a tiny CUDA program fails on it: {last_line(ended)}")


def last_line(ended: Ended) -> str:
    """The last that it printed, or how it ended."""
    lines = in_text(ended.log).strip().splitlines()
    if lines:
        return lines[-1][-300:]
    if ended.why != "ended":
        return ended.why
    how = ended.exit_code if ended.signal is None else f"signal {ended.signal}"
    return f"it ended with {how}"
