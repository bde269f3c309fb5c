"""Where the driver's own library is, libcuda.so.1, where the loader does not look by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

DRIVER_LIBRARY = "libcuda.so.1"
# NixOS, Windows' subsystem for Linux, and NVIDIA's package cuda-compat.
DRIVER_FOLDERS = ("/run/opengl-driver/lib", "/usr/lib/wsl/lib", "/usr/local/cuda/compat")
STORE = "/nix/store"  # of NixOS: all libraries are there, and find each other by their full path


def named_folders(search_path: str) -> list[str]:
    """Those of an LD_LIBRARY_PATH that hold it: whoever started the executor chose them."""
    return [folder for folder in search_path.split(":") if os.path.isabs(folder) and holds(folder)]


def usual_folders(folders: Sequence[str] = DRIVER_FOLDERS) -> list[str]:
    """The first of the folders that holds it, if one does."""
    return [folder for folder in folders if holds(folder)][:1]


def holds(folder: str) -> bool:
    """Whether the library is in it; a link that leads nowhere does not count."""
    return Path(folder, DRIVER_LIBRARY).is_file()


def leads_to(folders: Sequence[str]) -> list[str]:
    """What must be shown for it to be found there: the folders, and where their links lead."""
    wanted = list(folders)
    for folder in folders:
        real = os.path.dirname(os.path.realpath(os.path.join(folder, DRIVER_LIBRARY)))
        if real.startswith(STORE + "/"):
            real = STORE
        if real not in wanted:
            wanted.append(real)
    return wanted
