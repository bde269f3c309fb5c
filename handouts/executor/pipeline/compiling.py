"""Compiling: the first half of the pipeline."""

from __future__ import annotations

import hashlib
import json
import re
import time
from functools import partial
from pathlib import Path

from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.text import in_text
from handouts.executor.machine.architectures import architecture_flags
from handouts.executor.machine.toolchain import host_compiler
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.claiming import Claimer
from handouts.executor.pipeline.endings import HostFaults, has_finished, has_hit_limit
from handouts.executor.pipeline.handover import Handover
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.reporting import Reporter
from handouts.executor.pipeline.shutdown import Shutdown
from handouts.executor.results.compile_cache import CompileCache, when_changed
from handouts.executor.slot.slot import Slot


class Compiler:
    """Compiles one job at a time in each slot that it is given."""

    def __init__(self, host: Host, faults: HostFaults) -> None:
        self._host = host
        self._faults = faults
        self._host_compiler = host_compiler()
        # A header in a folder of --sandbox-bind may change, and the key would not.
        programs = 0 if host.options.sandbox_bind else host.options.compile_cache
        self._cache = CompileCache(host.scratch / "compiled", programs)

    def compile(self, attempt: Attempt, slot: Slot) -> bool:
        """Whether there is a program to run now; if not, the attempt holds the report."""
        for name in ("src", "run/out", "tmp"):
            (attempt.folder / name).mkdir(parents=True)
        source = attempt.folder / "src" / source_name(attempt.filename)
        source.write_bytes(attempt.source.encode("utf-8"))
        host = self._host
        architectures = host.architectures(attempt.platform)
        nvcc = [host.nvcc, "-O3", *architecture_flags(architectures)]
        program = attempt.folder / "program"
        key = self._key(attempt, nvcc)
        if self._get_cached(key, attempt, program):
            return not attempt.stop_reason
        command = host.sandbox.compiler(attempt.folder, source, nvcc, attempt.limits)
        ended = attempt.run(slot, command, attempt.limits["compile_seconds"])
        if not has_finished(attempt, ended):
            return False
        attempt.report = {
            "compile_log": in_text(ended.log),
            "compile_seconds": round(ended.seconds, 4),
            "compile_memory_bytes": ended.memory_bytes,
            "nvcc": host.nvcc_version,
            "arch": ", ".join(architectures) or None,
        }
        if has_hit_limit(attempt, ended, "compile"):
            return False
        if ended.exit_code == 0 and program.is_file() and program.stat().st_size:
            self._cache.put(key, program, attempt.report)
            return True
        if not self._faults.lacks_room(attempt):
            attempt.report.update(
                outcome="compile_error", exit_code=ended.exit_code, signal=ended.signal
            )
        return False

    def _get_cached(self, key: str, attempt: Attempt, program: Path) -> bool:
        began = time.monotonic()
        report = self._cache.get(key, program)
        if report is None:
            return False
        seconds = round(time.monotonic() - began, 4)
        attempt.report = {**report, "compile_seconds": seconds, "compiled_before": True}
        return True

    def _key(self, attempt: Attempt, nvcc: list[str]) -> str:
        """All that a compile depends on: the source and its name, the toolchain and its flags."""
        host = self._host
        changed = when_changed(Path(host.nvcc))
        toolchain = [nvcc, host.nvcc_version, changed, self._host_compiler, host.sandbox.about()]
        made_from = [attempt.source, source_name(attempt.filename), toolchain]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


class CompileWorker:
    """A thread that claims, compiles and hands over, again and again."""

    def __init__(
        self,
        host: Host,
        claimer: Claimer,
        compiler: Compiler,
        faults: HostFaults,
        handover: Handover,
        reporter: Reporter,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
    ) -> None:
        self._host = host
        self._claimer = claimer
        self._compiler = compiler
        self._faults = faults
        self._handover = handover
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._shutdown = shutdown

    def run(self, slot: Slot) -> None:
        """Until the executor stops."""
        connection = HeldConnection(self._host.auth)
        while not self._shutdown.draining.is_set():
            attempt = self._claimer.claim(connection)
            if attempt is not None:
                self._process(attempt, slot)
        connection.close()
        slot.close()

    def _process(self, attempt: Attempt, slot: Slot) -> None:
        step = partial(self._compiler.compile, attempt, slot)
        if self._faults.guard(attempt, slot, None, step):
            attempt.phase = "waiting"
            self._heartbeat.notify()
            self._handover.put(attempt)
        else:
            self._handover.give_up(attempt)
            self._reporter.done(attempt)


def source_name(filename: str) -> str:
    """A file name for the source: the student's own, so that error messages name it."""
    plain = re.sub(r"[^\w.+ -]", "_", filename)
    plain = plain if plain.endswith(".cu") else plain + ".cu"
    return plain if len(plain.encode("utf-8")) <= 200 else "program.cu"
