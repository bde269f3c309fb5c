"""The first process in the sandbox (init.c), compiled when the executor starts.

It is in C because that starts a hundred times faster than Python. As process 1 of its namespace
it can be killed by no program, and all end when it does. It reports what bwrap does not pass on:
the program's wait status, so that exit(137) is not SIGKILL, its time and its memory. And it hands
out what the compiler made, or the program left in ./out/, without following links.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from handouts.executor.sandbox.init_c import INIT_C

from handouts.client.errors import BadSetup
from handouts.executor.results.outputs import NAMED, NAMED_BESIDE

LIMITS_FOR_INIT = (  # in the order of init.c's arguments
    "output_files",
    "output_file_bytes",
    "processes",
    "disk_bytes",
    "memory_bytes",
)


def compile_init(path: Path, wished: str = "") -> None:
    """Compiles INIT_C with a host compiler, as nvcc needs one too. Raises BadSetup.

    `wished`: the operator's, for hosts whose system has none.
    """
    source = path.with_suffix(".c")
    counted = INIT_C.replace("@NAMED@", str(NAMED)).replace("@NAMED_BESIDE@", str(NAMED_BESIDE))
    source.write_text(counted)
    complaint = ""
    for compiler in filter(None, ("gcc", "g++", "cc", "clang", wished)):
        argv = [compiler, "-O1", "-x", "c", "-o", str(path), str(source)]
        try:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return
        complaint = complaint or done.stdout.decode("utf-8", "replace").strip()
    raise BadSetup(
        f"No host compiler works here, and nvcc needs one as well: apt install g++. {complaint}"
    )


class Inside(NamedTuple):
    """What differs from one command to another."""

    into: str = "/tmp/run"  # the folder that the job's files are unpacked in
    out_of: str = "/tmp/run"  # the folder whose out/ goes to the archive
    libraries: Sequence[str] = ()  # where programs find shared ones
    is_python: bool = False  # whether the interpreter's folders are shown


def first_process(files: Iterable[str], inside: Inside, limits: Mapping[str, int]) -> list[str]:
    """Its command line, up to the command. `files`: names of what is open for it."""
    argv = ["/job/init", "@report"]
    argv += ["@product" if "product" in files else "-1", "/tmp/program"]
    argv += ["@archive" if "archive" in files else "-1", inside.out_of]
    argv += ["@bundle" if "bundle" in files else "-1", inside.into]
    return argv + [str(limits[name]) for name in LIMITS_FOR_INIT]
