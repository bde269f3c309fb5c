"""A stand-in for NVIDIA's driver library, for hosts that have none.

Programs that are linked with -lcuda then link and start, and their first call says that there is
no GPU. It has every function that the toolkit's headers declare.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from handouts.executor.machine.driver_stub_c import DRIVER_STUB_C

HEADERS = ("cuda.h", "cudaGL.h", "cudaEGL.h", "cudaVDPAU.h", "cudaProfiler.h")
DECLARED = re.compile(r"\bCUDAAPI\s+(cu[A-Z]\w*)\s*\(|#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*)")
PER_THREAD = re.compile(r"__CUDA_API_(PTSZ|PTDS)\((cu[A-Z]\w*)\)")


def driver_functions(include: Path) -> list[str]:
    """The names of the driver API in a toolkit's headers; [] where there are none."""
    names = set()
    for header in HEADERS:
        try:
            text = (include / header).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        names.update(one or other for one, other in DECLARED.findall(text))
        for kind, name in PER_THREAD.findall(text):
            names.update([name, f"{name}_{kind.lower()}"])
    return sorted(names)


def compile_stub(compiler: str, functions: Iterable[str], library: Path) -> str:
    """Makes the library; why that failed, "" if it did not."""
    names = [name for name in functions if f"int {name}(" not in DRIVER_STUB_C]
    source = library.with_suffix(".c")
    aliases = (f'int {name}(void) __attribute__((alias("none")));\n' for name in names)
    source.write_text(DRIVER_STUB_C + "".join(aliases))  # ten times faster than functions
    argv = [compiler, "-shared", "-fPIC", "-O1", "-w", "-Wl,-soname,libcuda.so.1"]
    argv += ["-o", str(library), "-x", "c", str(source)]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode else ""
