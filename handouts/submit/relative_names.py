"""Names of the files of a submission: relative to the main file's folder, with / on any system."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path


def joined_name(folder: str, name: str) -> str:
    """The name as seen from `folder`, without detours; it may lead outside."""
    return posixpath.normpath(posixpath.join(folder, name))


def leads_outside(name: str) -> bool:
    """Whether the name, without detours, is none below the main file's folder."""
    return name.startswith(("/", "../")) or name == ".." or bool(re.match("[A-Za-z]:", name))


def name_below(root: Path, path: Path) -> str:
    """The path as a name relative to `root`; one that leads outside if it is not below it."""
    for plain in (os.path.abspath, os.path.realpath):  # by way of a link it may be below it
        folder = plain(path.parent)
        try:
            name = Path(os.path.relpath(os.path.join(folder, path.name), plain(root))).as_posix()
        except ValueError:  # another drive of Windows
            return ".."
        if not leads_outside(name):
            break
    return name


def is_really_below(root: Path, path: Path) -> bool:
    """Whether no link leads out of `root` on the way to the path."""
    top = os.path.realpath(root)
    try:
        return os.path.commonpath([top, os.path.realpath(path)]) == top
    except ValueError:
        return False
