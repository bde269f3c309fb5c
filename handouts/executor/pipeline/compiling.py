"""Compiling: the first half of the pipeline."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Any

from handouts.executor.machine.line_buffering_c import LINE_BUFFERING_C

from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.text import in_text
from handouts.executor.machine.toolchain import compiler_version
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.building import Build, CannotBuild, plan
from handouts.executor.pipeline.claiming import Claimer
from handouts.executor.pipeline.disassembly import LISTINGS, only_ours
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
        tools = host.toolchain
        compilers = (tools.cxx, tools.cc, tools.host_compiler.path)
        self._compilers = [compiler_version(compiler) for compiler in compilers]
        # A header in a folder of --sandbox-bind may change, and the key would not.
        programs = 0 if host.options.sandbox_bind else host.options.compile_cache
        self._cache = CompileCache(host.scratch / "compiled", programs)

    def compile(self, attempt: Attempt, slot: Slot) -> bool:
        """Whether there is a program to run now; if not, the attempt holds the report."""
        if attempt.stop_reason:
            return False
        if attempt.problem:  # any other host would say the same
            return not_built(attempt, f"This host does not compile it: {attempt.problem}.")
        for name in ("src", "run/out", "tmp", "asm/out"):
            (attempt.folder / name).mkdir(parents=True)
        host = self._host
        try:
            if attempt.is_python:
                return self._take_script(attempt)
            build = plan(attempt, host.toolchain, host.architectures(attempt.platform))
        except CannotBuild as problem:
            return not_built(attempt, str(problem))
        key = self._key(attempt, build)
        if self._get_cached(key, attempt):
            return not attempt.stop_reason
        return self._run(attempt, slot, build, key)

    def _take_script(self, attempt: Attempt) -> bool:
        """A script is run as it is. Raises CannotBuild."""
        interpreter = self._host.toolchain.interpreter
        if interpreter is None:
            raise CannotBuild("This host runs no Python: its executor was given no --python.")
        if attempt.flags:
            raise CannotBuild("A Python job is not compiled, and takes no compiler flags.")
        log = "asm: Python is not compiled, so there is nothing to show.\n" if attempt.asm else ""
        attempt.compiled(log, compile_seconds=0.0, python=interpreter.version)
        return True

    def _run(self, attempt: Attempt, slot: Slot, build: Build, key: str) -> bool:
        host = self._host
        places = host.sandbox.places(attempt.folder)
        limits = {**attempt.limits, "output_files": len(LISTINGS)}  # they are not the program's own
        seconds = limits["compile_seconds"]
        argv = build.whole_command(places, host.libraries, host.toolchain, seconds)
        archive = attempt.asm_archive if build.shows else None
        command = host.sandbox.compiler(attempt.folder, attempt.job_files, argv, limits, archive)
        ended = attempt.run(slot, command, seconds)
        attempt.compiled(
            in_text(ended.log),
            compile_seconds=round(ended.seconds, 4),
            compile_memory_bytes=ended.memory_bytes,
            **self._about(build, attempt.platform),
        )
        if not has_finished(attempt, ended):
            return False
        if has_hit_limit(attempt, ended, "compile"):
            return False
        program = attempt.folder / "program"
        if ended.exit_code == 0 and program.is_file() and program.stat().st_size:
            if archive is not None:
                found = host.sandbox.asm(attempt.folder, archive, limits)
                attempt.asm_files = only_ours(found)
            self._cache.put(key, self._of(attempt), attempt.report, attempt.asm_files)
            return True
        if not self._faults.lacks_room(attempt):
            attempt.report.update(
                outcome="compile_error", exit_code=ended.exit_code, signal=ended.signal
            )
        return False

    def _about(self, build: Build, platform: str) -> dict[str, Any]:
        """What compiled it, for whom it concerns."""
        host = self._host
        words = [Path(build.compiler[0]).name, *build.compiler[1:], *build.sources, *build.flags]
        members: dict[str, Any] = {"command": " ".join(map(shlex.quote, words))}
        if build.is_nvcc:
            arch = ", ".join(host.architectures(platform)) or None
            members.update(nvcc=host.nvcc_version, arch=arch)
        return members

    def _of(self, attempt: Attempt) -> list[Path]:
        """The files that a compile leaves, as the cache keeps them."""
        return [attempt.folder / "program", attempt.asm_archive]

    def _get_cached(self, key: str, attempt: Attempt) -> bool:
        began = time.monotonic()
        cached = self._cache.get(key, self._of(attempt))
        if cached is None:
            return False
        report, attempt.asm_files = cached
        seconds = round(time.monotonic() - began, 4)
        known = {**report, "compile_seconds": seconds, "compiled_before": True}
        attempt.compiled(known.pop("compile_log"), **known)
        return True

    def _key(self, attempt: Attempt, build: Build) -> str:
        """All that a compile depends on: the files and their names, the toolchain, what it is
        told."""
        host, tools = self._host, self._host.toolchain
        programs = [host.nvcc, tools.cxx, tools.cc, tools.cuobjdump, tools.nvdisasm]
        programs.append(tools.host_compiler.path)
        changed = [when_changed(Path(program)) for program in programs if program]
        toolchain = [programs, changed, host.nvcc_version, self._compilers, host.sandbox.about()]
        made_from = [attempt.job_files, build, host.libraries, LINE_BUFFERING_C, toolchain]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def not_built(attempt: Attempt, why: str) -> bool:
    """There is no program to run, for a reason that is the student's to know."""
    attempt.report = {"compile_log": why + "\n", "outcome": "compile_error"}
    return False


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
