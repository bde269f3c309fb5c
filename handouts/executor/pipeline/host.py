"""The host, and what this executor holds of it: GPUs, scratch folder, sandbox, slots."""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
from collections import Counter
from typing import Any

from handouts.client.auth import Auth
from handouts.client.connection import VERSION, Queue
from handouts.client.errors import BadSetup
from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.base.text import in_text
from handouts.executor.gate.gates import make_gates
from handouts.executor.machine.architectures import full_architecture
from handouts.executor.machine.cgroups import Cgroups, own_cgroup
from handouts.executor.machine.cores import Cores, in_kernels_form
from handouts.executor.machine.driver_start import gpus_when_ready
from handouts.executor.machine.driver_versions import driver_warnings
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.gpu_lock import lock_gpu
from handouts.executor.machine.integrated import refuse_integrated
from handouts.executor.machine.libraries import make_libraries
from handouts.executor.machine.line_buffering import make_line_buffering
from handouts.executor.machine.platforms import CPU, CUDA
from handouts.executor.machine.toolchain import Toolchain
from handouts.executor.pipeline.scratch import take_scratch, why_no_room
from handouts.executor.pipeline.workers import make_workers, offers
from handouts.executor.sandbox.bubblewrap import Bubblewrap
from handouts.executor.sandbox.self_test import CHECKED, why_denied
from handouts.executor.sandbox.unconfined import NoSandbox
from handouts.executor.slot.memory_board import MemoryBoards
from handouts.executor.slot.slot import Slot

FULL_BYTES = 1 << 20  # a disk with less room is full
SELF_TEST_SECONDS = 60
SELF_TEST_LIMITS = {**DEFAULT_LIMITS, "log_bytes": 4096, "output_bytes": 1 << 20}


class Host:
    """Looked at once, when the executor starts."""

    def __init__(self, options: argparse.Namespace, auth: Auth) -> None:
        """Takes GPUs and the scratch folder for this executor alone. Raises BadSetup."""
        self.options = options
        self.auth = auth
        Queue(auth)  # a bad address or certificate is said now
        self.toolchain = Toolchain(options)
        self.nvcc, self.nvcc_version = self.toolchain.nvcc, self.toolchain.nvcc_version
        takes_gpus = options.nproc_execute > 0 and not options.no_gpu
        self.gpus = gpus_when_ready(options) if takes_gpus else []
        self.scratch, self._scratch_lock = take_scratch(options.scratch_dir, auth.name)
        refuse_integrated(self.gpus, options.allow_integrated_gpu)
        self.cgroups = Cgroups(own_cgroup())
        others = 1 + options.nproc_compile + options.nproc_cpu
        shares = Cores().shares([gpu.bus for gpu in self.gpus], others)
        self._cpus = dict(zip((gpu.uuid for gpu in self.gpus), shares))
        tools = self.toolchain
        compiler = tools.cc or tools.cxx
        self.libraries = make_libraries(self.nvcc, compiler, self.scratch / "libraries")
        compilers = (tools.cc, tools.cxx, tools.host_compiler.path)
        linked = make_line_buffering(compilers, self.scratch / "linked")
        self.libraries = self.libraries._replace(linked=linked)
        self.sandbox: Any = NoSandbox(self.libraries)
        if options.sandbox != "none":
            shown = [*options.sandbox_bind, *self.toolchain.host_compiler.folders]
            self.sandbox = Bubblewrap(
                argparse.Namespace(**{**vars(options), "sandbox_bind": shown}),
                self.nvcc,
                self.scratch / "sandbox",
                self.libraries,
                self.toolchain.interpreter,
                compiler,
            )
            self.sandbox.use(self.gpus)
        self._gpu_locks = [lock_gpu(gpu) for gpu in self.gpus]
        self.gates = make_gates(self.gpus, options.kernel_log)
        self._driver_warnings = driver_warnings(self.gpus)
        for warning in self._driver_warnings:
            say(f"WARNING: {warning}.")
        without_gpu = options.nproc_execute if options.no_gpu else 0
        self.workers = make_workers(self.gates, without_gpu, options.nproc_cpu)
        self._boards = MemoryBoards()
        self.jobs = self.scratch / "jobs"
        shutil.rmtree(str(self.jobs), ignore_errors=True)  # of a run that was killed
        self.jobs.mkdir(parents=True)

    def languages(self) -> list[str]:
        """Those of the jobs that can be run here."""
        return self.toolchain.languages()

    def close(self) -> None:
        """Leaves the cgroups as they were."""
        self.cgroups.close()

    def make_slot(self, gpu: Gpu | None, compiles: bool = False) -> Slot:
        """A slot whose sandbox works, with the uid and arguments that jobs get. Raises BadSetup."""
        cpus = self._cpus.get(gpu.uuid, set()) if gpu else set()
        group = self.cgroups.make(compiles, in_kernels_form(cpus))
        slot = Slot(self.sandbox, group, self._boards.next(), cpus)
        if self.options.sandbox != "none":
            self.try_sandbox(slot, gpu)
        return slot

    def try_sandbox(self, slot: Slot, gpu: Gpu | None) -> None:
        """Raises BadSetup if it does not hold what it should."""
        interpreter = self.toolchain.interpreter
        python = interpreter.path if interpreter else ""
        command = self.sandbox.check(
            self.options.auth.resolve(), self.scratch, self.nvcc, gpu, python
        )
        try:
            ended = slot.run(command, SELF_TEST_SECONDS, SELF_TEST_LIMITS, lambda: True)
        except OSError as error:
            raise BadSetup(
                "The sandbox does not work, and no program runs without it "
                f"({error}): {why_denied()}."
            ) from None
        if ended.exit_code != CHECKED:
            problem = in_text(ended.log).strip() or ended.why
            raise BadSetup(f"The sandbox is not safe to use: {problem}.")

    def architectures(self, platform: str) -> list[str]:
        """What a job for it is compiled for, such as ["sm_90a"]; [] is the compiler's default."""
        if platform == CPU:
            return []
        if self.options.arch:
            return [self.options.arch]
        gpus = [one.gate.gpu for one in self.workers if one.gate and platform in one.platforms]
        found = {full_architecture(gpu.architecture, self.nvcc_version) for gpu in gpus}
        return sorted(
            found, key=lambda architecture: (len(architecture.rstrip("af")), architecture)
        )

    def compiler(self) -> str:
        """For the log."""
        wished = self.toolchain.host_compiler.about()
        told = f" with {wished}" if wished else ""
        return f"nvcc {self.nvcc_version}{told}" if self.nvcc else "no nvcc"

    def hardware(self) -> str:
        """For the log."""
        kinds = Counter(f"{gpu.name} ({gpu.architecture})" for gpu in self.gpus)
        return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "no GPU"

    def about(self) -> dict[str, Any]:
        """What the queue shows staff of this executor."""
        return {
            "version": VERSION,
            "nvcc": self.nvcc_version or None,
            "nvcc_flags": self.toolchain.host_compiler.about(),
            "arch": ", ".join(self.architectures(CUDA)) or None,
            "gpus": [gate.about() for gate in self.gates],
            "driver_warning": "; ".join(self._driver_warnings) or None,
            "nproc_compile": self.options.nproc_compile,
            "nproc_execute": self.options.nproc_execute,
            "nproc_cpu": self.options.nproc_cpu,
            "offers": offers(self.workers),
            "languages": self.languages(),
            "sandbox": self.sandbox.about(),
            "limits": self.cgroups.about(),
            "cpu": self.about_cpu(),
            "host": socket.gethostname(),
            "python": ".".join(map(str, sys.version_info[:3])),
        }

    def about_cpu(self) -> str:
        """How the CPU is shared out, for staff."""
        words = ["equal shares"] if self.cgroups.shares_cpu else ["no shares"]
        own = [
            f"{in_kernels_form(cpus)} for GPU {gpu.index}"
            for gpu in self.gpus
            if (cpus := self._cpus.get(gpu.uuid))
        ]
        return "; ".join([*words, *own])

    def has_room_for_a_job(self) -> bool:
        """Whether a job fits in memory and, with its result, on the disk; else none is claimed."""
        why = why_no_room(self.scratch, self.options.min_free_mib)
        if why:
            TROUBLE_LOG.say(why)
        return not why

    def is_full(self) -> bool:
        """Whether a command that runs without a sandbox may have failed for lack of room."""
        return shutil.disk_usage(str(self.scratch)).free < FULL_BYTES
