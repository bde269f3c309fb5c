"""The archive of what a program left in ./out/.

Its bytes go from the sandbox's first process, through a descriptor, into one archive on the
host; no name that a program chose is ever the name of a file here. The limits are applied twice:
when the archive is written, and to what is read from it (outputs.py).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

RECORD = re.compile(rb"([a-z]) (\d{1,20}) (\d{1,3})\n")

BESIDE = ("w", "v", "x")  # beside out/: a file, a folder, `size` more of them


class Found(NamedTuple):
    """An entry of ./out/: a file ("f") whose bytes are in the archive, or why it is not there; or
    something that was written beside ./out/."""

    kind: str  # "f", a key of REASONS, "c" or "b": over a limit, "m": `size` more entries; BESIDE
    size: int
    name: bytes
    offset: int = 0


def unpack(archive: Any) -> Iterator[Found]:
    """The entries in an archive that the sandbox's first process wrote."""
    end = os.fstat(archive.fileno()).st_size
    for line in iter(lambda: archive.readline(64), b""):
        record = RECORD.fullmatch(line)
        if not record:
            return
        name = archive.read(int(record[3]))
        kind, size, offset = record[1].decode(), int(record[2]), archive.tell()
        if kind == "f":
            kind = "f" if offset + size <= end else "u"
            archive.seek(offset + size)
        yield Found(kind, size, name, offset)


def gather(folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
    """The same where there is no sandbox: copies the files in `folder`/out to the archive."""
    try:
        opened = os.open(str(folder / "out"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    except OSError:
        return [Found("o", 0, b"out")]
    try:
        with archive.open("wb") as file:
            return list(copy_entries(opened, file, limits))
    finally:
        os.close(opened)


def written_beside(folder: Path, given: Iterable[str], maximum: int) -> Iterator[Found]:
    """What is in `folder` beside out/, and was not `given`: the first `maximum` by name."""
    passed_over = {name.split("/")[0] for name in given} | {"out", "__pycache__"}
    try:
        with os.scandir(str(folder)) as entries:
            found = {os.fsencode(e.name): e for e in entries if e.name not in passed_over}
    except OSError:
        return
    names = [name for name, entry in sorted(found.items()) if is_file_or_folder(entry)]
    for name in names[:maximum]:
        with suppress(OSError):  # without a sandbox, something may still run
            about = os.stat(folder / os.fsdecode(name), follow_symlinks=False)
            is_file = stat.S_ISREG(about.st_mode)
            yield Found("w" if is_file else "v", about.st_size if is_file else 0, name)
    if len(names) > maximum:
        yield Found("x", len(names) - maximum, b"")


def is_file_or_folder(entry: Any) -> bool:
    """Whether an entry of os.scandir is one, and no link to one."""
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def copy_entries(folder: int, archive: Any, limits: dict[str, int]) -> Iterator[Found]:
    """The entries of an open folder, after what comes back was written to the archive."""
    files, room = limits["output_files"], limits["output_file_bytes"]
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        kind, size, source = open_entry(folder, name)
        if kind == "f":
            kind = "c" if files < 1 else "b" if size > room else "f"
        offset = archive.tell()
        if source is not None:
            with source:
                if kind == "f":
                    archive.write(source.read(size))
                    kind = "f" if archive.tell() == offset + size else "u"
                    files, room = files - 1, room - size
        yield Found(kind, size, name, offset)


def open_entry(folder: int, name: bytes) -> tuple[str, int, Any]:
    """An entry's kind and size, and if it is a plain file, the file open for reading."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode):
            kinds = {stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
            return kinds.get(stat.S_IFMT(about.st_mode), "s"), 0, None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        source = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
    except OSError:
        return "u", 0, None
    about = os.fstat(source.fileno())
    return "f" if about.st_nlink == 1 else "h", about.st_size, source
