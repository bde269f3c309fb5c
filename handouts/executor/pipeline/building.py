"""How a job becomes a program: which compiler, and what it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from handouts.executor.base.flags import for_nvcc, why_refused
from handouts.executor.machine.architectures import (
    architecture_flags,
    job_names_architecture,
    with_plain_architectures,
)
from handouts.executor.machine.libraries import Libraries, names_any_of, needs_driver
from handouts.executor.machine.line_buffering import takes_line_buffering
from handouts.executor.machine.platforms import CPU
from handouts.executor.machine.toolchain import Toolchain
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.disassembly import shown
from handouts.executor.sandbox.command import Places

C, CXX = (".c",), (".cpp", ".cc", ".cxx")
OPTIMIZED = "-O3"
NAMES_OPTIMIZATION = re.compile(r"-O\d?|--?optimize(=.*)?")  # nvcc warns where there are two
LINKS = re.compile(r"-l|--?library|.*[=,]-l")  # flags that name a library


class CannotBuild(Exception):
    """This host cannot make a program of the job; its message is for the student."""


class Build(NamedTuple):
    """A compile, without the places that differ from one to the next."""

    compiler: list[str]  # and its options
    is_nvcc: bool
    sources: list[str]  # as arguments
    flags: list[str]
    needs_driver: bool  # whether it is linked with the driver's library
    shows_cuda: bool = False  # whether PTX and SASS of the program are wanted
    listed: Sequence[Sequence[str]] = ()  # the arguments of each source whose assembly is wanted

    @property
    def shows(self) -> bool:
        """Whether anything is to be shown of the program."""
        return self.shows_cuda or bool(self.listed)

    def command(self, places: Places, libraries: Libraries) -> list[str]:
        """The compiler's command line."""
        options = [*self._options(places, libraries), "-o", places.program]
        if places.linked and takes_line_buffering([*self.compiler[1:], *self.flags]):
            options.append(places.linked)
        return [*options, *self.sources, *self.flags]

    def whole_command(
        self, places: Places, libraries: Libraries, tools: Toolchain, seconds: int
    ) -> list[str]:
        """The same, and what shows the program afterwards, if the job wants that.

        `seconds`: what all of it may take.
        """
        argv = self.command(places, libraries)
        if not self.shows:
            return argv
        options = self._options(places, libraries)
        to_text = ["-c", "-Xcompiler=-S", "-o"] if self.is_nvcc else ["-S", "-o"]
        listed = [[*options, *one, *self.flags, *to_text] for one in self.listed]
        return shown(argv, self.shows_cuda, listed, tools, places, seconds)

    def _options(self, places: Places, libraries: Libraries) -> list[str]:
        """The compiler, and what it is told before the files."""
        is_linked = any(map(LINKS.match, self.flags))
        folders = [*libraries.link, *([places.libraries] if places.libraries else [])]
        options = [f"-L{folder}" for folder in folders] if is_linked else []
        if self.needs_driver and places.libraries and not libraries.has_driver:
            pass_on = "-Xlinker=" if self.is_nvcc else "-Wl,"
            options.append(f"{pass_on}-rpath={places.libraries}")
        if libraries.include and not self.is_nvcc and names_any_of(self.flags, libraries.names):
            options += ["-isystem", libraries.include]  # nvcc knows its own
        return [*self.compiler, *options]


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
    own = [] if job_names_architecture(attempt.flags) else architectures
    wished = tools.host_compiler
    flags = for_nvcc(with_plain_architectures(attempt.flags, architectures))
    others = [*wished.flags(), *flags, *wished.after]
    is_named = any(NAMES_OPTIMIZATION.fullmatch(flag) for flag in others)
    compiler = [
        tools.nvcc,
        *([] if is_named else [OPTIMIZED]),
        *wished.flags(),
        *architecture_flags(own, with_ptx=attempt.asm),
    ]
    of_host = [name for name in names if name.endswith((*C, *CXX))]
    return Build(
        compiler,
        is_nvcc=True,
        sources=[told_to_nvcc(name) for name in names],
        flags=[*flags, *wished.after],
        needs_driver=needs_driver(flags),
        shows_cuda=attempt.asm and len(of_host) < len(names),
        listed=[[told_to_nvcc(name)] for name in of_host] if attempt.asm else [],
    )


def told_to_nvcc(name: str) -> str:
    """A file's, as an argument. nvcc calls its parts by way of a shell, with names in double
    quotes. Raises CannotBuild."""
    if '"' in name:
        raise CannotBuild(f"nvcc takes no file with a quotation mark in its name: {name}")
    return "./" + re.sub(r"[$`]", r"\\\g<0>", name)


def plan_for_host(attempt: Attempt, tools: Toolchain, names: list[str]) -> Build:
    """C and C++ for the CPU. What is linked of both is C++, and its parts in C stay C."""
    is_c = all(name.endswith(C) for name in names)
    compiler = tools.cc if is_c else tools.cxx
    if not compiler:
        raise CannotBuild(f"This host has no compiler for {'C' if is_c else 'C++'} programs.")
    sources = [
        ["-x", "c", "./" + name, "-x", "none"] if name.endswith(C) and not is_c else ["./" + name]
        for name in names
    ]
    return Build(
        [compiler, OPTIMIZED],
        is_nvcc=False,
        sources=[word for source in sources for word in source],
        flags=attempt.flags,
        needs_driver=needs_driver(attempt.flags),
        listed=sources if attempt.asm else [],
    )
