"""No sandbox (--sandbox none)."""

from __future__ import annotations

from pathlib import Path

from handouts.executor.machine.gpu import Gpu
from handouts.executor.results.archive import Found, gather
from handouts.executor.sandbox.command import Command, environment


class NoSandbox:
    """Programs run as the executor's own user. The same methods as `Bubblewrap`."""

    uids = None

    def about(self) -> str:
        """For the log and for staff."""
        return "none"

    def compiler(
        self, folder: Path, source: Path, nvcc: list[str], limits: dict[str, int]
    ) -> Command:
        """Compiles `source`, to `folder`/program."""
        argv = [*nvcc, "-o", str(folder / "program"), "./" + source.name]
        return Command([], argv, str(source.parent), self._environment(folder, nvcc[0], ""), {})

    def program(
        self,
        folder: Path,
        args: list[str],
        nvcc: str,
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
    ) -> Command:
        """Runs `folder`/program."""
        env = self._environment(folder, nvcc, gpu.uuid if gpu else "")
        return Command([], [str(folder / "program"), *args], str(folder / "run"), env, {})

    def outputs(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the program left in ./out/, copied to the archive."""
        return gather(folder / "run", archive, limits)

    def _environment(self, folder: Path, nvcc: str, visible_gpus: str) -> dict[str, str]:
        return environment(nvcc, str(folder / "run"), str(folder / "tmp"), visible_gpus)
