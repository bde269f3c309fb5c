"""No sandbox (--sandbox none)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.libraries import NO_LIBRARIES, Libraries
from handouts.executor.results.archive import Found, gather, written_beside
from handouts.executor.results.outputs import NAMED_BESIDE
from handouts.executor.sandbox.bundle import NO_FILES, lay_out
from handouts.executor.sandbox.command import Command, Places, environment


class NoSandbox:
    """Programs run as the executor's own user. The same methods as `Bubblewrap`."""

    uids = None

    def __init__(self, libraries: Libraries = NO_LIBRARIES) -> None:
        self._libraries = libraries

    def about(self) -> str:
        """For the log and for staff."""
        return "none"

    def places(self, folder: Path) -> Places:
        """Where things are of the job in `folder`."""
        asm, script = str(folder / "asm/out"), str(folder / "src")
        libraries = self._libraries
        return Places(str(folder / "program"), asm, libraries.folder, script, libraries.linked)

    def compiler(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        limits: dict[str, int],
        asm: Path | None = None,
    ) -> Command:
        """Runs a compiler in a folder with these files."""
        lay_out(files, folder / "src")
        env = self._environment(folder, argv[0], self._libraries.run, None)
        return Command([], argv, str(folder / "src"), env, {})

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
        """Runs `folder`/program in a folder with the files `beside`."""
        lay_out(beside, folder / "run")
        env = self._environment(folder, nvcc, self._libraries.run, gpu)
        return Command([], [str(folder / "program"), *args], str(folder / "run"), env, {})

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
        """Runs Python with these files at the place of a script, in a folder with the files
        `beside`."""
        lay_out(files, folder / "src")
        lay_out(beside, folder / "run")
        env = self._environment(folder, argv[0], (), gpu)
        return Command([], argv, str(folder / "run"), env, {})

    def outputs(
        self,
        folder: Path,
        archive: Path,
        limits: dict[str, int],
        given: Mapping[str, str] = NO_FILES,
    ) -> list[Found]:
        """What the program left in ./out/, copied to the archive, and what it left beside it that
        was not `given`."""
        run = folder / "run"
        return [*written_beside(run, given, NAMED_BESIDE), *gather(run, archive, limits)]

    def asm(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the compiler left to be read, copied to the archive."""
        return gather(folder / "asm", archive, limits)

    def _environment(
        self, folder: Path, program: str, libraries: Sequence[str], gpu: Gpu | None
    ) -> dict[str, str]:
        visible = gpu.uuid if gpu else ""
        home, tmp = str(folder / "run"), str(folder / "tmp")
        searched = [*libraries, *self._libraries.driver]
        return environment([program], searched, home, tmp, visible)
