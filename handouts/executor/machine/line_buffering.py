"""Standard output of programs is line-buffered, as on a terminal: what was printed before a crash,
a time-out or _exit is seen, and standard error stands at its place among the lines.

A C library buffers what goes to a pipe in full. So each program is linked with a little object that
says otherwise before anything of the program runs; the program may still say it anew (setvbuf).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from handouts.executor.machine.line_buffering_c import LINE_BUFFERING_C

from handouts.executor.base.say import say

# Programs that have no C library, or not the one of this machine's own kind; -x says what every
# file is.
WITHOUT = re.compile(r"(.*[=,])?-(m(16|x?32)|nostd|nodefaultlibs|nostartfiles|nolibc|x)")


def make_line_buffering(compilers: Iterable[str], folder: Path) -> str:
    """The object's path; "" if none of the compilers makes it, and programs do without."""
    folder.mkdir(parents=True, exist_ok=True)
    source, made = folder / "line-buffering.c", folder / "line-buffering.o"
    source.write_text(LINE_BUFFERING_C)
    complaint = ""
    for compiler in filter(None, compilers):
        argv = [compiler, "-x", "c", "-O1", "-fPIC", "-c", "-o", str(made), str(source)]
        try:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as error:
            complaint = complaint or str(error)
            continue
        if done.returncode == 0:
            return str(made)
        complaint = complaint or done.stdout.decode("utf-8", "replace").strip()
    if complaint:
        say(f"Output that programs do not flush is lost when they crash: {complaint[:500]}")
    return ""


def takes_line_buffering(flags: Iterable[str]) -> bool:
    """Whether a program that is made with these flags can be linked with it."""
    return not any(WITHOUT.match(flag) for flag in flags)
