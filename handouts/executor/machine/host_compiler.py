"""What the operator has nvcc do in every compile: another host compiler, flags of its own.

nvcc itself reads these variables of its environment: NVCC_CCBIN, NVCC_PREPEND_FLAGS and
NVCC_APPEND_FLAGS. conda, Spack and the modules of clusters set them. In the sandbox there is no
environment, so they are read when the executor starts, and become arguments.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from handouts.client.errors import BadSetup

NAMES_COMPILER = ("-ccbin", "--compiler-bindir")
PROGRAMS = ("g++", "c++", "clang++", "gcc", "cc", "clang")  # those of a folder that is named

# nvcc calls it by way of a shell, its folder in double quotes and its name in none.
CALLABLE = re.compile(r'[^"$`\\\n]*/[\w.+-]+')


class HostCompiler(NamedTuple):
    """The operator's wishes."""

    path: str = ""  # of the compiler; "" for the one on the PATH
    before: Sequence[str] = ()  # nvcc's flags before those of the job
    after: Sequence[str] = ()  # and after them
    folders: Sequence[Path] = ()  # what must be shown in the sandbox for it

    def flags(self) -> list[str]:
        """All that comes before a job's flags."""
        return [*self.before, *(["-ccbin", self.path] if self.path else [])]

    def about(self) -> str | None:
        """For staff; None if nothing was wished."""
        words = [*self.flags(), *self.after]
        return " ".join(map(shlex.quote, words)) or None


def host_compiler(ccbin: str | None, flags: str, environment: Mapping[str, str]) -> HostCompiler:
    """From `--ccbin`, `--nvcc-flags` and the executor's environment. Raises BadSetup."""
    before, named = without_compiler(words_of_flags(environment, "NVCC_PREPEND_FLAGS"))
    more, named_too = without_compiler(split_flags("--nvcc-flags", flags))
    after, named_last = without_compiler(words_of_flags(environment, "NVCC_APPEND_FLAGS"))
    given = ccbin or named_too or named_last or named or environment.get("NVCC_CCBIN") or ""
    path = found_compiler(given) if given else ""
    folders = folders_of(path) if path else []
    return HostCompiler(path, [*before, *more], after, folders)


def words_of_flags(environment: Mapping[str, str], name: str) -> list[str]:
    """Those in a variable of the environment. Raises BadSetup."""
    return split_flags(name, environment.get(name, ""))


def split_flags(source: str, text: str) -> list[str]:
    """As a shell would. Raises BadSetup."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadSetup(f"{source} is {text!r}, which is no list of flags: {error}.") from None


def without_compiler(flags: list[str]) -> tuple[list[str], str]:
    """The flags but those that name a host compiler, and the last one that they name."""
    left, named, takes_next = [], "", False
    for flag in flags:
        option, _, value = flag.partition("=")
        if takes_next:
            named, takes_next = flag, False
        elif option in NAMES_COMPILER:
            named, takes_next = value, not value
        else:
            left.append(flag)
    return left, named


def found_compiler(given: str) -> str:
    """The whole path of a program. Raises BadSetup where there is none.

    Of a folder nvcc itself would take `gcc` alone.
    """
    if os.path.isdir(given):
        inside = (shutil.which(os.path.join(given, name)) for name in PROGRAMS)
        found = next(filter(None, inside), None)
    else:
        found = shutil.which(given)
    if found is None:
        raise BadSetup(
            f"The host compiler {given} is not there: name one with --ccbin, and look at "
            "NVCC_CCBIN and NVCC_PREPEND_FLAGS in the environment, which may name it."
        )
    path = os.path.abspath(found)
    if not CALLABLE.fullmatch(path):
        raise BadSetup(
            f"nvcc cannot call {path}: a host compiler's name may have no space, and its path none "
            'of " $ ` \\. Make a link to it that has another name.'
        )
    return path


def folders_of(compiler: str) -> list[Path]:
    """What a compiler needs to run: its installation or its file, also where a link leads."""
    folders = {installation(Path(compiler)), installation(Path(os.path.realpath(compiler)))}
    return sorted(folders)


def installation(compiler: Path) -> Path:
    """The folder above `bin`, if a compiler's own parts are in it. Never a home, nor /."""
    above = compiler.parent.parent
    parts = ("lib/gcc", "libexec/gcc", "lib64/gcc", "lib/clang", "lib64/clang")
    is_in_bin = compiler.parent.name == "bin"
    has_parts = any((above / part).is_dir() for part in parts)
    return above if is_in_bin and has_parts and above != Path("/") else compiler


def sibling(compiler: str, for_c: bool) -> str:
    """The compiler for C, or for C++, of the same make, such as x86_64-conda-linux-gnu-gcc beside
    …-g++; it may be the same. "" if there is none."""
    folder, name = os.path.split(compiler)
    for cxx, cc in (("clang++", "clang"), ("g++", "gcc"), ("c++", "cc")):
        old, new = (cxx, cc) if for_c else (cc, cxx)
        if re.search(rf"(^|-){re.escape(new)}(-[\d.]+)?$", name):
            return compiler
        match = re.fullmatch(rf"(|.*-){re.escape(old)}(|-[\d.]+)", name)
        other = os.path.join(folder, match[1] + new + match[2]) if match else ""
        if other and shutil.which(other):
            return other
    return ""
