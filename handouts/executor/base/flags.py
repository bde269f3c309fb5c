"""A second look at the compiler's flags, which the queue has allowed by its table.

The compiler runs in the sandbox whatever it is told; this keeps a flag from leading it, or what
it makes, to another place, so that a job fails with a line that says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MAX_FLAGS, MAX_FLAG_LENGTH = 128, 200  # a course's and a job's own
LEAD_ELSEWHERE = (  # how those begin
    *("-o", "--output", "--options-file", "--objdir", "-dump", "-ccbin", "--compiler-bindir"),
    *("-run", "--run", "-keep-dir", "--keep-dir", "-clean", "--clean", "-target-dir"),
    *("--target-directory", "-ldir", "--libdevice-directory", "-idp", "--input-drive-prefix"),
    *("-B", "-specs", "--specs", "-wrapper", "-fplugin", "-iplugindir", "-plugin", "--plugin"),
    *("--sysroot", "-isysroot", "@"),
)
PASSED_ON = re.compile(  # to another program, and what it gets
    r"(?:-X(?P<short>[a-z]+)|--(?P<long>[a-z]+)-options)=(?P<given>.+)|-W(?P<one>[alp]),(?P<listed>.+)"
)
FOR_THE_LINKER = re.compile(
    r"--(no-)?as-needed|--(no-)?whole-archive|--(start|end)-group|--gc-sections|--export-dynamic"
    r"|-l[\w.+-]+|-z|now|relro|defs|noexecstack|-O[012]"
)

# What compilers for the CPU alone know, by how it begins, and what of that is nvcc's own.
HOST_COMPILER_S = re.compile(
    r"-(f|m|W|pedantic|ansi$|pthread$|pipe$|O(fast|[gsz])?$|g.+|std=(gnu|c\d|iso)|nostd|funroll)"
)
ALSO_NVCC_S = re.compile(
    r"-(fatbin|fdevice-|fmad|force-|forward-|frandom-seed|ftemplate-|ftz|gen|m=?(32|64)$|maxrregcount"
    r"|minimal|Wdefault-stream-launch|Werror=|Wext-lambda|Wmissing-launch-bounds|Wreorder"
    r"|Wno-deprecated-(gpu-targets|declarations)|std=c\+\+)"
)


def for_nvcc(flags: Iterable[str]) -> list[str]:
    """The same flags as nvcc takes them: those of a compiler for the CPU are passed on to it."""
    told = []
    for flag in flags:
        is_host_s = HOST_COMPILER_S.match(flag) and not ALSO_NVCC_S.match(flag)
        told.append("-Xcompiler=" + flag.replace(",", "\\,") if is_host_s else flag)
    return told


def why_refused(flags: Sequence[str]) -> str:
    """Which flag this executor does not give to a compiler, and why; "" if it gives them all."""
    if len(flags) > MAX_FLAGS:
        return f"There are {len(flags)} compiler flags; {MAX_FLAGS} are the most."
    for flag in flags:
        problem = problem_of_flag(flag)
        if problem:
            return f"The flag {flag[:MAX_FLAG_LENGTH]!a} is refused on this host: {problem}."
    return ""


def problem_of_flag(flag: str) -> str:
    """What is wrong with one; "" if nothing is."""
    if len(flag) > MAX_FLAG_LENGTH:
        return f"it has more than {MAX_FLAG_LENGTH} characters"
    if not re.fullmatch(r"-[^\s]+", flag) or not flag.isprintable():
        return "a flag is one word that begins with -"
    if flag in ("-Xlinker", "--linker-options", "--"):
        return "it changes what the next word means"
    passed = PASSED_ON.fullmatch(flag)
    if passed is None:
        return leads_elsewhere([flag])
    words = re.split("[,=]", passed["given"] or passed["listed"])
    if "linker" in (passed["short"], passed["long"]) or passed["one"] == "l":
        if all(FOR_THE_LINKER.fullmatch(word) for word in words):
            return ""
        return "the linker is not told that here"
    return leads_elsewhere(words)


def leads_elsewhere(words: Iterable[str]) -> str:
    """Whether one of them does, in words."""
    if any(word.strip("'\"\\").startswith(LEAD_ELSEWHERE) for word in words):
        return "it names another place or program"
    return ""
