"""How a job becomes a program: which compiler, and what it is told."""

from __future__ import annotations

import re
from typing import NamedTuple

from handouts.executor.base.flags import for_nvcc, why_refused
from handouts.executor.machine.architectures import (
    architecture_flags,
    job_names_architecture,
    with_plain_architectures,
)
from handouts.executor.machine.libraries import Libraries, needs_driver
from handouts.executor.machine.platforms import CPU
from handouts.executor.machine.toolchain import Toolchain
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.disassembly import KEEPS_ASSEMBLY, KEEPS_ASSEMBLY_OF_NVCC, shown
from handouts.executor.sandbox.command import Places

C, CXX = (".c",), (".cpp", ".cc", ".cxx")
OPTIMIZED = "-O3"
LINKS = re.compile(r"-l|--?library|.*[=,]-l")  # flags that name a library


class CannotBuild(Exception):
    """This host cannot make a program of the job; its message is for the student."""


class Build(NamedTuple):
    """A compile, without the places that differ from one to the next."""

    compiler: list[str]  # and its options
    is_nvcc: bool
    sources: list[str]  # as arguments
    flags: list[str]
    shows: list[str]  # kinds of what is to be shown of the program
    needs_driver: bool  # whether it is linked with the driver's library

    def command(self, places: Places, libraries: Libraries) -> list[str]:
        """The compiler's command line."""
        is_linked = any(map(LINKS.match, self.flags))
        folders = [*libraries.link, *([places.libraries] if places.libraries else [])]
        paths = [f"-L{folder}" for folder in folders] if is_linked else []
        if self.needs_driver and places.libraries and not libraries.has_driver:
            pass_on = "-Xlinker=" if self.is_nvcc else "-Wl,"
            paths.append(f"{pass_on}-rpath={places.libraries}")
        return [*self.compiler, *paths, "-o", places.program, *self.sources, *self.flags]

    def whole_command(self, places: Places, libraries: Libraries, tools: Toolchain) -> list[str]:
        """The same, and what shows the program afterwards, if the job wants that."""
        argv = self.command(places, libraries)
        return shown(argv, self.shows, tools, places) if self.shows else argv


def plan(attempt: Attempt, tools: Toolchain, architectures: list[str]) -> Build:
    """What compiles the job. Raises CannotBuild."""
    refused = why_refused(attempt.flags)
    if refused:
        raise CannotBuild(refused)
    names = [attempt.main, *attempt.sources]
    has_cuda = any(not name.endswith((*C, *CXX)) for name in names)
    if not has_cuda and (attempt.platform == CPU or not tools.nvcc):
        return plan_for_host(attempt, tools, names)
    if not tools.nvcc:
        raise CannotBuild("This host has no nvcc, so it compiles no CUDA programs.")
    return plan_for_nvcc(attempt, tools, names, architectures)


def plan_for_nvcc(
    attempt: Attempt, tools: Toolchain, names: list[str], architectures: list[str]
) -> Build:
    """CUDA, or C++ for a platform with a GPU."""
    has_host = any(name.endswith((*C, *CXX)) for name in names)
    has_cuda = any(not name.endswith((*C, *CXX)) for name in names)
    shows = [*(["cuda"] if has_cuda else []), *(["host"] if has_host else [])]
    own = [] if job_names_architecture(attempt.flags) else architectures
    compiler = [tools.nvcc, OPTIMIZED, *architecture_flags(own, with_ptx=attempt.asm)]
    if attempt.asm and has_host:
        compiler.append(KEEPS_ASSEMBLY_OF_NVCC)
    flags = for_nvcc(with_plain_architectures(attempt.flags, architectures))
    return Build(
        compiler,
        is_nvcc=True,
        sources=["./" + name for name in names],
        flags=flags,
        shows=shows if attempt.asm else [],
        needs_driver=needs_driver(flags),
    )


def plan_for_host(attempt: Attempt, tools: Toolchain, names: list[str]) -> Build:
    """C and C++ for the CPU. What is linked of both is C++, and its parts in C stay C."""
    is_c = all(name.endswith(C) for name in names)
    compiler = tools.cc if is_c else tools.cxx
    if not compiler:
        raise CannotBuild(f"This host has no compiler for {'C' if is_c else 'C++'} programs.")
    sources = []
    for name in names:
        one = "./" + name
        sources += ["-x", "c", one, "-x", "none"] if name.endswith(C) and not is_c else [one]
    return Build(
        [compiler, OPTIMIZED, *([KEEPS_ASSEMBLY] if attempt.asm else [])],
        is_nvcc=False,
        sources=sources,
        flags=attempt.flags,
        shows=["host"] if attempt.asm else [],
        needs_driver=needs_driver(attempt.flags),
    )
