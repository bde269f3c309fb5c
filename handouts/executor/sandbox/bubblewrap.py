"""The sandbox: bubblewrap around the compiler and around the program."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.base.limits import DEFAULT_LIMITS
from handouts.executor.machine.driver_library import DRIVER_LIBRARY, leads_to
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.interpreter import Interpreter
from handouts.executor.machine.libraries import NO_LIBRARIES, Libraries
from handouts.executor.results.archive import BESIDE, Found, unpack
from handouts.executor.sandbox.bundle import NO_FILES, pack, placed
from handouts.executor.sandbox.bwrap_program import find_bwrap, isolation, options_of
from handouts.executor.sandbox.command import Command, Places, environment
from handouts.executor.sandbox.first_process import Inside, first_process
from handouts.executor.sandbox.gpu_devices import GpuDevices
from handouts.executor.sandbox.hidden import finished, hidden
from handouts.executor.sandbox.own_files import OwnFiles
from handouts.executor.sandbox.self_test import SELF_TEST
from handouts.executor.sandbox.shown import (
    folders_to_bind,
    outside_usr,
    places_with,
    show_libraries,
    show_linked,
    system_folders,
)
from handouts.executor.sandbox.uids import Uids

WRITE_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Bubblewrap:
    """Runs commands in bwrap, which never runs as root: it runs as the executor's user, or, where
    that is root, as a uid of each slot's own.

    A command sees /usr and the CUDA toolkit, a /tmp of its own in memory, and its one GPU. Files
    go in and out as open descriptors, never by a path.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        nvcc: str,
        folder: Path,
        libraries: Libraries = NO_LIBRARIES,
        interpreter: Interpreter | None = None,
        compiler: str = "",
    ) -> None:
        """`folder`: for files of its own, by `compiler` if the system has none. Raises BadSetup."""
        self._bwrap = find_bwrap()
        self.uids = Uids(options.sandbox_uid_base) if os.geteuid() == 0 else None
        self._libraries = libraries
        self._of_python = outside_usr(interpreter.folders if interpreter else [])
        shown = folders_to_bind(nvcc, options.sandbox_bind)
        shown += [path for path in outside_usr(leads_to(libraries.driver)) if path not in shown]
        self._of_python = [path for path in self._of_python if path not in shown]
        self.binds = [*self._of_python, *shown]
        self._logs_calls = options.seccomp_log
        self._own = OwnFiles(folder, libraries, options.seccomp_log, compiler)
        supported = options_of(self._bwrap)
        if b"--perms" not in supported:
            raise BadSetup(f"{self._bwrap} is too old: bubblewrap 0.5 or newer is needed.")
        self._sized = b"--size" in supported  # 0.7 and newer; else only memory is limited
        self._isolation = isolation(supported)
        own_groups = self.uids.gids if self.uids else ()
        self.devices = GpuDevices(options.sandbox_sys == "whole", own_groups)

    def about(self) -> str:
        """For the log and for staff."""
        about = "bubblewrap, a uid for each worker" if self.uids else "bubblewrap"
        return about + (", unusual system calls are logged" if self._logs_calls else "")

    def use(self, gpus: list[Gpu]) -> None:
        """Finds the device files of the GPUs. Raises BadSetup."""
        self.devices.find(gpus)

    @property
    def groups(self) -> list[int]:
        """The groups that a slot must be in to use them."""
        return self.devices.groups

    def places(self, folder: Path) -> Places:
        """Where things are of the job in `folder`."""
        return places_with(self._libraries)

    def compiler(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        limits: dict[str, int],
        asm: Path | None = None,
    ) -> Command:
        """Runs a compiler in a folder with these files; what is at its `places` then goes to
        `folder`/program, and to the archive `asm`."""
        pack(files, folder / "bundle")
        opened = {
            "bundle": (folder / "bundle", os.O_RDONLY),
            "product": (folder / "program", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        }
        if asm is not None:
            opened["archive"] = (asm, WRITE_ANEW)
        inside = Inside(out_of="/tmp/asm", libraries=self._libraries.run)
        setup = ["--dir", "/tmp/asm/out", *show_linked(self._libraries)]
        return self._command(argv, setup, opened, argv[0], None, limits, inside)

    def program(
        self,
        folder: Path,
        args: list[str],
        nvcc: str,
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs `folder`/program in a folder with the files `beside`; what it leaves in ./out/ goes
        to the archive."""
        pack(beside, folder / "beside")
        files = {
            "program": (folder / "program", os.O_RDONLY),
            "bundle": (folder / "beside", os.O_RDONLY),
            "archive": (archive, WRITE_ANEW),
        }
        setup = ["--dir", "/tmp/run/out", "--perms", "0555", "--file", "@program", "/job/program"]
        inside = Inside(libraries=self._libraries.run)
        return self._command(["/job/program", *args], setup, files, nvcc, gpu, limits, inside)

    def script(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs Python with these files at the place of a script, otherwise as `program` does."""
        pack(placed({"src": files, "run": beside}), folder / "bundle")
        opened = {
            "bundle": (folder / "bundle", os.O_RDONLY),
            "archive": (archive, WRITE_ANEW),
        }
        setup = ["--dir", "/tmp/run/out", "--dir", "/tmp/src"]
        inside = Inside(into="/tmp", is_python=True)
        return self._command(argv, setup, opened, argv[0], gpu, limits, inside)

    def outputs(
        self,
        folder: Path,
        archive: Path,
        limits: dict[str, int],
        given: Mapping[str, str] = NO_FILES,
    ) -> list[Found]:
        """What the program left in ./out/ and beside it, as its archive says. The first process
        knows by itself what was `given`."""
        with archive.open("rb") as file:
            return list(unpack(file))

    def asm(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the compiler left to be read, as its archive says."""
        return [one for one in self.outputs(folder, archive, limits) if one.kind not in BESIDE]

    def check(
        self, auth: Path, scratch: Path, nvcc: str, gpu: Gpu | None, python: str = ""
    ) -> Command:
        """A command that ends with CHECKED if the sandbox holds what it should."""
        looked_at = [str(auth), nvcc, str(scratch), python, DRIVER_LIBRARY if gpu else ""]
        argv = ["/bin/sh", "-c", SELF_TEST, "sh", *looked_at]
        inside = Inside(is_python=True)
        return self._command(argv, [], {}, nvcc, gpu, DEFAULT_LIMITS, inside)

    def _command(
        self,
        argv: list[str],
        setup: list[str],
        files: dict[str, tuple[Path, int]],
        program: str,
        gpu: Gpu | None,
        limits: dict[str, int],
        inside: Inside,
    ) -> Command:
        box = [self._bwrap, *self._isolation]
        visible = gpu.uuid if gpu else ""
        searched = [*inside.libraries, *self._libraries.driver]
        env = environment([program], searched, "/tmp/run", "/tmp", visible)
        for name, value in env.items():
            box += ["--setenv", name, value]
        size = ["--size", str(limits["disk_bytes"])] if self._sized else []
        box += [*system_folders(), "--proc", "/proc", *hidden(), "--dev", "/dev"]
        box += [*self.devices.shown(gpu), *finished(gpu is not None)]
        box += [*size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp", "--dir", "/tmp/run"]
        for number, path in enumerate(self.binds):  # after /tmp, since they may lie there
            if inside.is_python or path not in self._of_python:
                box += ["--ro-bind", f"/tmp/{number}" if self.uids else path, path]
        box += ["--perms", "0555", "--file", "@init", "/job/init", *setup]
        if self._libraries.folder and not inside.is_python:
            box += show_libraries(Path(self._libraries.folder))
        box += ["--chdir", "/tmp/run", "--remount-ro", "/", "--remount-ro", "/dev"]
        box += ["--seccomp", "@seccomp", "--", *first_process(files, inside, limits)]
        return Command(box, argv, "/", {}, {**files, **self._own.opened(box)})
