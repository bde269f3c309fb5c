"""The first process in the sandbox, compiled when the executor starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from handouts.executor.sandbox.init_c import INIT_C

from handouts.client.errors import BadSetup
from handouts.executor.results.outputs import NAMED


def compile_init(path: Path) -> None:
    """Compiles INIT_C with the host compiler that nvcc needs too. Raises BadSetup."""
    source = path.with_suffix(".c")
    source.write_text(INIT_C.replace("@NAMED@", str(NAMED)))
    complaint = ""
    for compiler in ("gcc", "g++", "cc", "clang"):
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
