"""Writing files that are for nobody else's eyes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from handouts.submit.stop import WRONG_USAGE, Stop


def make_private_folder(folder: Path) -> None:
    """Makes the folder, and those above it, for this user alone. Raises Stop."""
    try:
        for one in [*reversed(folder.parents), folder]:
            if not one.is_dir():
                one.mkdir(0o700)
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{folder} cannot be made: {error.strerror}.") from None


def write_private(path: Path, content: bytes) -> Path | None:
    """Puts a file there, whole or not at all; where another was kept, if one had another content.

    A link is replaced, and where it leads to is left alone. Raises Stop.
    """
    try:
        before = content_of(path)
        kept = None
        if before not in (None, content):
            kept = path.with_name(path.name + ".old")
            write_whole(kept, before or b"")
        write_whole(path, content)
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{path} cannot be written: {error.strerror}.") from None
    return kept


def content_of(path: Path) -> bytes | None:
    """Of a plain file; None if there is none."""
    if os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode):
        return path.read_bytes()
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Writes it beside, and moves it there."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        os.replace(new, path)
    finally:
        if os.path.lexists(new):
            os.unlink(new)
