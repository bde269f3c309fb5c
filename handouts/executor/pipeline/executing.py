"""Executing: the second half of the pipeline."""

from __future__ import annotations

import queue
import signal
from functools import partial
from pathlib import Path

from handouts.client.words import in_mib
from handouts.executor.base.say import say
from handouts.executor.base.text import in_text
from handouts.executor.gate.gate import Gate
from handouts.executor.gate.probe import Probe
from handouts.executor.machine.gpu import Gpu, GpuTrouble
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.disassembly import LISTINGS, append
from handouts.executor.pipeline.endings import HostFaults, has_finished, has_hit_limit
from handouts.executor.pipeline.handover import Handover
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.reporting import Reporter
from handouts.executor.pipeline.workers import Worker
from handouts.executor.results.archive import Found
from handouts.executor.results.outputs import Outputs
from handouts.executor.results.spool import Spool
from handouts.executor.sandbox.command import Command
from handouts.executor.slot.protocol import Ended
from handouts.executor.slot.slot import Slot


class Runner:
    """Runs one program and fills in the report."""

    def __init__(self, host: Host, spool: Spool, faults: HostFaults) -> None:
        self._host = host
        self._spool = spool
        self._faults = faults

    def execute(self, attempt: Attempt, slot: Slot, gate: Gate | None) -> bool:
        """Whether the attempt has a result; if not, it was stopped."""
        host = self._host
        archive = self._spool.archive(attempt.id)
        command = self._command(attempt, gate.gpu if gate else None, archive)
        ended = attempt.run(slot, command, attempt.limits["execute_seconds"])
        attempt.report["execute_log"] = in_text(ended.log)
        if gate is not None and not has_survived(attempt, ended, gate):
            return False
        if not has_finished(attempt, ended):
            return False
        if ended.exit_code != 0 and self._faults.lacks_room(attempt):
            return False
        attempt.report.update(
            execute_seconds=round(ended.seconds, 4),
            execute_cpu_seconds=ended.cpu_seconds,
            execute_memory_bytes=ended.memory_bytes,
            exit_code=ended.exit_code,
            signal=ended.signal,
            gpu=gate.stamp() if gate else None,
        )
        if ended.signal == signal.SIGXFSZ and "disk_bytes" in attempt.limits:
            attempt.report["limit"] = in_mib(attempt.limits["disk_bytes"]) + " of files"
        found: list[Found] = []
        if not has_hit_limit(attempt, ended, "execute"):
            attempt.report["outcome"] = "succeeded" if ended.exit_code == 0 else "runtime_error"
            given = attempt.beside
            found = host.sandbox.outputs(attempt.folder, archive, attempt.limits, given)
        if attempt.asm_files:
            found = [*append(attempt.asm_files, attempt.asm_archive, archive), *found]
        outputs = Outputs(found, attempt.limits, len(attempt.asm_files))
        # A queue that counts the listings too then keeps those of the program's own.
        attempt.files = sorted(outputs.files, key=lambda file: file["name"] in LISTINGS)
        attempt.report.update(outputs.report())
        return True

    def _command(self, attempt: Attempt, gpu: Gpu | None, archive: Path) -> Command:
        """What runs the program, or the script."""
        host, sandbox, folder = self._host, self._host.sandbox, attempt.folder
        interpreter = host.toolchain.interpreter
        if attempt.is_python and interpreter is not None:
            main = f"{sandbox.places(folder).script}/{attempt.main}"
            argv = [interpreter.path, "-u", main, *attempt.args]  # -u: a crash loses no line
            return sandbox.script(
                folder, attempt.job_files, argv, gpu, archive, attempt.limits, attempt.beside
            )
        return sandbox.program(
            folder, attempt.args, host.nvcc, gpu, archive, attempt.limits, attempt.beside
        )


def has_survived(attempt: Attempt, ended: Ended, gate: Gate) -> bool:
    """Whether the GPU is well after the program; if not, the result does not count."""
    if ended.why == "killed":  # it has no result; before the next job its GPU is looked at
        gate.was_killed(ended)
        return True
    broken = gate.look_after(ended)
    if broken:
        attempt.stop(f"GPU {gate.gpu.index} failed: {broken}")
    return not broken


class ExecutionWorker:
    """A thread that owns one GPU, or none, and runs one program at a time on it."""

    def __init__(
        self,
        runner: Runner,
        probe: Probe,
        faults: HostFaults,
        handover: Handover,
        reporter: Reporter,
        heartbeat: Heartbeat,
    ) -> None:
        self._runner = runner
        self._probe = probe
        self._faults = faults
        self._handover = handover
        self._reporter = reporter
        self._heartbeat = heartbeat

    def run(self, slot: Slot, worker: Worker) -> None:
        """Until nothing more is compiled."""
        gate, finishing = worker.gate, self._handover.finishing
        while True:
            if gate is not None and not self._passes(slot, gate):
                if finishing.wait(gate.pause()):
                    break
                continue
            try:
                attempt = self._handover.take(worker)
            except queue.Empty:
                if finishing.is_set():
                    break
                continue
            if attempt is None:
                break
            self._process(attempt, slot, gate)
        slot.close()

    def _process(self, attempt: Attempt, slot: Slot, gate: Gate | None) -> None:
        attempt.phase = "executing"
        self._heartbeat.notify()
        step = partial(self._runner.execute, attempt, slot, gate)
        self._faults.guard(attempt, slot, gate, step)
        self._reporter.done(attempt)

    def _passes(self, slot: Slot, gate: Gate) -> bool:
        """Whether the GPU may have the next job. One that may not is quarantined, alone."""
        name = f"GPU {gate.gpu.index} ({gate.gpu.uuid})"
        try:
            gate.check(lambda: self._probe.run(slot, gate))
        except GpuTrouble as trouble:
            if gate.quarantine(str(trouble)):
                say(f"{name} is quarantined: {trouble}. It is tried again by itself.")
                self._handover.gpus_changed()
            return False
        was_quarantined = bool(gate.quarantined)
        if gate.passed():
            if was_quarantined:
                say(f"{name} works again.")
            self._handover.gpus_changed()
        return True
