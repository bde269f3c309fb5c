"""The libraries of the CUDA toolkit: where programs find them when they are linked, and later.

The toolkit is NVIDIA's own (lib64, stubs), a distribution's, or made of NVIDIA's wheels (lib, with
files like libcublas.so.13 alone). What is missing is made in a folder of the executor's own: links
like libcublas.so, and a stand-in for the driver's library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from handouts.executor.base.say import say
from handouts.executor.machine.driver_library import named_folders, usual_folders
from handouts.executor.machine.driver_stub import compile_stub, driver_functions
from handouts.executor.machine.toolchain import include_folder, toolkit_root

DRIVER_STUB = "libcuda.so.1"
LOADS_DRIVER = "import ctypes; ctypes.CDLL('libcuda.so.1')"
DRIVER_FLAG = re.compile(r"(-l|--?library=)(cuda|:libcuda\.so(\.1)?)|.*-lcuda")
NAMES_LIBRARY = re.compile(r"(?:^|[=,])(?:-l|--?library=)(?::lib)?([\w+-]+)")


class Libraries(NamedTuple):
    """For the linker, and for what it made."""

    link: Sequence[str] = ()  # folders of the host
    run: Sequence[str] = ()  # folders where a program finds shared libraries at run time
    folder: str = ""  # with what was made; "" for none. Sandboxes show it at another place
    has_driver: bool = True
    names: Sequence[str] = ()  # of those that the toolkit has, as -l takes them
    include: str = ""  # the folder of their headers; "" where compilers look anyhow
    linked: str = ""  # an object of the executor's own for every program (line_buffering.py)
    driver: Sequence[str] = ()  # folders of the driver's library, if the loader must be told


NO_LIBRARIES = Libraries()


def make_libraries(nvcc: str, compiler: str, folder: Path) -> Libraries:
    """Looks for them, and makes in `folder` what is missing. Without nvcc there are none."""
    shutil.rmtree(str(folder), ignore_errors=True)
    driver, has_driver = find_driver(os.environ.get("LD_LIBRARY_PATH", ""))
    if not nvcc:
        return NO_LIBRARIES._replace(driver=driver)
    folder.mkdir(parents=True)
    run, stubs = library_folders(nvcc)
    link_plain_names([*run, *stubs], folder)
    if not (has_driver and any((stub / "libcuda.so").exists() for stub in stubs)):
        make_driver_stub(nvcc, compiler, folder)
    link = [str(path) for path in [*stubs, *run]]
    root, headers = toolkit_root(nvcc), include_folder(nvcc)
    include = str(headers) if root and str(root) != "/usr" else ""
    names = {
        library.name[len("lib") :].partition(".")[0]
        for path in [*stubs, *run, folder]
        for library in path.glob("lib*")
    }
    return Libraries(
        link=link,
        run=[str(path) for path in run],
        folder=str(folder),
        has_driver=has_driver,
        names=sorted(names),
        include=include,
        driver=driver,
    )


def library_folders(nvcc: str) -> tuple[list[Path], list[Path]]:
    """Those of the toolkit that are there: of libraries, and of stubs of the driver's."""
    root = toolkit_root(nvcc)
    if root is None:  # a distribution's: its libraries are where the linker looks anyhow
        stubs = sorted(Path("/usr/lib").glob("*-linux-gnu/stubs"))
        return [], [path for path in stubs if (path / "libcuda.so").exists()]
    folders: list[Path] = []
    for path in [root / "lib64", *sorted(root.glob("targets/*/lib")), root / "lib"]:
        if path.is_dir() and not any(path.samefile(other) for other in folders):
            folders.append(path)
    return folders, [path / "stubs" for path in folders if (path / "stubs").is_dir()]


def find_driver(search_path: str) -> tuple[list[str], bool]:
    """The folders in which programs must be told to look for it, and whether there is one.

    `search_path`: the executor's own LD_LIBRARY_PATH. What is named there comes first, as with
    cuda-compat, a newer library than the host's; then what the loader finds; then usual places.
    """
    folders = named_folders(search_path)
    if not folders and not finds_driver():
        folders = usual_folders()
        return folders, bool(folders)
    return folders, True


def finds_driver() -> bool:
    """Whether a program of this host, started with an empty environment, finds libcuda.so.1."""
    argv = [sys.executable, "-I", "-S", "-c", LOADS_DRIVER]
    try:
        done = subprocess.run(
            argv, env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def link_plain_names(folders: list[Path], into: Path) -> None:
    """Links like libcublas.so, by which linkers look, for files like libcublas.so.13 alone."""
    for folder in folders:
        for library in sorted(folder.glob("lib*.so.*")):
            plain = library.name.partition(".so.")[0] + ".so"
            link = into / plain
            if not link.is_symlink() and not any((one / plain).exists() for one in folders):
                link.symlink_to(library)


def make_driver_stub(nvcc: str, compiler: str, folder: Path) -> None:
    """libcuda.so.1 and libcuda.so; without the toolkit's headers no program could need them."""
    functions = driver_functions(include_folder(nvcc))
    if not functions:
        return
    problem = compile_stub(compiler, functions, folder / DRIVER_STUB)
    if problem:
        say(f"No stand-in for the driver's library could be made: {problem}")
        return
    plain = folder / "libcuda.so"
    if plain.is_symlink():
        plain.unlink()
    plain.symlink_to(DRIVER_STUB)


def needs_driver(flags: Iterable[str]) -> bool:
    """Whether a program with these flags is linked with the driver's library."""
    return any(DRIVER_FLAG.fullmatch(flag) for flag in flags)


def names_any_of(flags: Iterable[str], names: Iterable[str]) -> bool:
    """Whether a program with these flags is linked with one of these libraries."""
    named = (one for flag in flags for one in NAMES_LIBRARY.findall(flag))
    return not set(names).isdisjoint(named)
