"""What of the host every command sees in the sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.libraries import DRIVER_STUB, Libraries
from handouts.executor.machine.toolchain import toolkit
from handouts.executor.sandbox.command import Places

LIBRARIES = "/job/lib"  # where the executor's own folder of libraries is shown
LINKED = "/job/line-buffering.o"  # and to compilers the object for every program


def folders_to_bind(nvcc: str, more: list[Path]) -> list[str]:
    """What commands see beside the system's own folders. Raises BadSetup."""
    resolved = [path.resolve() for path in more]
    missing = [path for path in resolved if not path.exists()]
    if missing:
        raise BadSetup(f"There is no {missing[0]} to show in the sandbox.")
    return outside_usr([*([toolkit(nvcc)] if nvcc else []), *resolved])


def outside_usr(paths: Iterable[str | Path]) -> list[str]:
    """Those that every sandbox does not show anyhow."""
    return [str(path) for path in paths if Path("/usr") not in [Path(path), *Path(path).parents]]


def places_with(libraries: Libraries) -> Places:
    """Where things are in a sandbox that shows these."""
    folder = LIBRARIES if libraries.folder else ""
    linked = LINKED if libraries.linked else ""
    return Places("/tmp/program", "/tmp/asm/out", folder, "/tmp/src", linked)


def show_linked(libraries: Libraries) -> list[str]:
    """bwrap's arguments for the object that every program is linked with."""
    return ["--perms", "0444", "--file", "@linked", LINKED] if libraries.linked else []


def show_libraries(folder: Path) -> list[str]:
    """bwrap's arguments for what was made in the executor's own folder of libraries.

    No bind: for that a slot started by root would have to mount it first.
    """
    box = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            box += ["--symlink", os.readlink(str(path)), f"{LIBRARIES}/{path.name}"]
        elif path.name == DRIVER_STUB:
            box += ["--perms", "0555", "--file", "@stub", f"{LIBRARIES}/{path.name}"]
    return box


def system_folders() -> list[str]:
    """bwrap's arguments for /usr and what belongs to it."""
    binds = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            binds += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            binds += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/nvcc.profile"):
        binds += ["--ro-bind-try", name, name]
    return binds
