"""A command for a slot, inside a sandbox or not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """What a slot is to run. An argument of `box` like "@program" stands for an open file."""

    box: list[str]  # what goes before the command: the sandbox, [] for none
    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: dict[str, tuple[Path, int]]  # by name: the path, and flags for os.open


class SandboxBroken(OSError):
    """The sandbox itself failed, so nothing ran; this host must claim no job."""


def environment(nvcc: str, home: str, tmp: str, visible_gpus: str) -> dict[str, str]:
    """The whole environment of a compiler or program: nothing of this process's own."""
    return {
        "PATH": ":".join(
            [*([str(Path(nvcc).parent)] if nvcc else []), "/usr/local/bin", "/usr/bin", "/bin"]
        ),
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": visible_gpus,
    }
