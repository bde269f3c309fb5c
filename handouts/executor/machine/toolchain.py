"""nvcc and the host compiler behind it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from handouts.client.errors import BadSetup


def find_nvcc(given: str | None) -> str:
    """The path of nvcc. Raises BadSetup."""
    for candidate in [given] if given else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(candidate)
        if found:
            real = os.path.realpath(found)  # the toolkit is beside the file, not beside the link
            return real if os.path.basename(real) == "nvcc" else os.path.abspath(found)
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


def host_compiler() -> str:
    """The first line of what the compiler behind nvcc says it is; "" if it cannot be asked."""
    try:
        return version_of("g++").partition("\n")[0]
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
