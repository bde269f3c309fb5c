"""Makes the stub compiler out of stub.c: a static program, so that starting it takes no time."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def compiler(folder: Path, seconds: float = 0.0) -> Path:
    """A stub of nvcc that takes `seconds` to compile a program that takes `seconds`."""
    path = folder / f"stub-nvcc-{seconds}"
    subprocess.run(
        ["gcc", "-x", "c", "-O1", "-static", f"-DSECONDS={float(seconds)}", "-o", path, SOURCE],
        check=True,
    )
    return path
