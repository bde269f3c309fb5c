"""Names of the files of a submission: relative to the main file's folder, with / on any system."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

MAX_NAME_BYTES, MAX_PART_BYTES, MAX_PARTS = 255, 100, 8


def trouble_with(name: str) -> str:
    """Why the queue would not take a file of this name; "" if it would."""
    if "\\" in name or not name.isprintable():
        return "it has a character that the queue does not take"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it does not lead straight to a file"
    if any(part.startswith("-") for part in parts):
        return "a part of it begins with a dash"
    sizes = [len(part.encode("utf-8")) for part in parts]
    if max(sizes) > MAX_PART_BYTES or sum(sizes) + len(sizes) - 1 > MAX_NAME_BYTES:
        return f"it is longer than {MAX_PART_BYTES} bytes, or {MAX_NAME_BYTES} with its folders"
    return f"it lies more than {MAX_PARTS - 1} folders deep" if len(parts) > MAX_PARTS else ""


def clash(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that cannot be files side by side on every system."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            return other, name
    for name in names:
        folder = posixpath.dirname(name.casefold())
        while folder:
            if folder in seen:
                return seen[folder], name
            folder = posixpath.dirname(folder)
    return None


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
