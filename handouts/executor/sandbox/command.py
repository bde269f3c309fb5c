"""A command for a slot, inside a sandbox or not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from handouts.executor.machine.toolchain import SYSTEM_PATH


class Command(NamedTuple):
    """What a slot is to run. An argument of `box` like "@program" stands for an open file."""

    box: list[str]  # what goes before the command: the sandbox, [] for none
    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: dict[str, tuple[Path, int]]  # by name: the path, and flags for os.open


class SandboxBroken(OSError):
    """The sandbox itself failed, so nothing ran; this host must claim no job."""


class Places(NamedTuple):
    """Where things are inside the sandbox."""

    program: str  # what a compiler makes
    asm: str  # a folder for what is to be read of the program
    libraries: str  # the executor's own folder of them; "" for none
    script: str  # the folder of a script's files
    linked: str  # an object that every program is linked with; "" for none


def environment(
    programs: Iterable[str], libraries: Iterable[str], home: str, tmp: str, visible_gpus: str
) -> dict[str, str]:
    """The whole environment of a compiler or program: nothing of this process's own.

    `programs`: whose folders are on the PATH before the system's; "" for none.
    """
    folders = [str(Path(program).parent) for program in programs if program]
    found_in = {"LD_LIBRARY_PATH": ":".join(libraries)}
    return {
        "PATH": ":".join([*folders, SYSTEM_PATH]),
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": visible_gpus,
        **(found_in if found_in["LD_LIBRARY_PATH"] else {}),
    }
