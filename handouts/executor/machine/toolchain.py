"""What compiles and runs jobs here: nvcc, the host's own compilers, a Python; what each can do."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.host_compiler import host_compiler, sibling
from handouts.executor.machine.interpreter import find_interpreter

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"  # of programs in the sandbox too


class Toolchain:
    """Found once, when the executor starts."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises BadSetup for what the operator named and is not there, and for a host that runs
        CUDA programs without nvcc."""
        is_needed = bool(options.nvcc or options.nproc_execute)
        self.nvcc = find_nvcc(options.nvcc, is_needed)  # "" for none, as those below
        self.nvcc_version = nvcc_version(self.nvcc) if self.nvcc else ""
        self.host_compiler = host_compiler(options.ccbin, options.nvcc_flags, os.environ)
        self.cxx = first_program("g++", "clang++") or self._wished(for_c=False)
        self.cc = first_program("gcc", "clang", "cc") or self._wished(for_c=True)
        self.interpreter = find_interpreter(options.python)
        self.cuobjdump = tool_beside(self.nvcc, "cuobjdump")
        self.nvdisasm = tool_beside(self.nvcc, "nvdisasm")

    def _wished(self, for_c: bool) -> str:
        """Where the system has no compiler: nvcc's, or the one beside it; "" for none."""
        wished = self.host_compiler.path
        return sibling(wished, for_c) if wished else ""

    def languages(self) -> list[str]:
        """Those of the jobs that can be run here."""
        can = {
            "cuda": self.nvcc,
            "cpp": self.nvcc or (self.cxx and self.cc),
            "python": self.interpreter,
        }
        return [language for language, means in can.items() if means]


def first_program(*names: str) -> str:
    """The path of the first that every program on this host could call; "" if none is there."""
    found = (shutil.which(name, path=SYSTEM_PATH) for name in names)
    return next(filter(None, found), "")


def tool_beside(nvcc: str, name: str) -> str:
    """Another of the toolkit's programs, else the system's; "" if there is none."""
    root = toolkit_root(nvcc) if nvcc else None
    beside = shutil.which(str(root / "bin" / name)) if root else None
    return beside or first_program(name)


def find_nvcc(given: str | None, is_needed: bool = True) -> str:
    """The path of nvcc. Raises BadSetup if there is none; where it is not needed, that is ""."""
    for candidate in [given] if given else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(candidate)
        if found:
            real = os.path.realpath(found)  # the toolkit is beside the file, not beside the link
            return real if os.path.basename(real) == "nvcc" else os.path.abspath(found)
    if not is_needed:
        return ""
    problem = f"{given} is no program" if given else "nvcc was not found"
    raise BadSetup(
        f"{problem}. Install the CUDA toolkit, put its bin folder on the PATH, "
        "or name it with --nvcc."
    )


def nvcc_version(nvcc: str) -> str:
    """Such as "13.0". Raises BadSetup for a compiler that does not start."""
    try:
        answer = version_of(nvcc)
    except (OSError, subprocess.SubprocessError) as error:
        raise BadSetup(f"{nvcc} cannot be run: {error}.") from None
    release = re.search(r"release ([\d.]+)", answer)
    if not release:
        raise BadSetup(f"{nvcc} --version does not answer like nvcc does.")
    return release[1]


def compiler_version(compiler: str) -> str:
    """The first line of what a compiler says it is; "" if it cannot be asked."""
    try:
        return version_of(compiler).partition("\n")[0] if compiler else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def version_of(program: str) -> str:
    """All that it prints when asked for its version. Raises OSError, SubprocessError."""
    done = subprocess.run(
        [program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.stdout.decode("utf-8", "replace")


def toolkit(nvcc: str) -> Path:
    """What nvcc needs to run: the folder of its toolkit, or just its file if it has none."""
    path = Path(nvcc)
    return path.parent.parent if (path.parent / "nvcc.profile").is_file() else path


def toolkit_root(nvcc: str) -> Path | None:
    """The folder of nvcc's toolkit, also where nvcc is a script that calls the toolkit's own; None
    where it has no folder of its own, as in a distribution's packages."""
    path = toolkit(nvcc)
    if path.is_dir():
        return path
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    for called in re.findall(rb"/[\w./+-]+/nvcc\b", head) if head.startswith(b"#!") else []:
        behind = toolkit(called.decode())
        if behind.is_dir():
            return behind
    return None


def include_folder(nvcc: str) -> Path:
    """Where the toolkit's headers are: conda and some packages have them in a folder a target."""
    root = toolkit_root(nvcc) or Path("/usr")
    folders = [root / "include", *sorted(root.glob("targets/*/include"))]
    return next((one for one in folders if (one / "cuda.h").is_file()), folders[0])
