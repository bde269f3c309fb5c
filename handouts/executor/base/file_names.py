"""Which names a job's files may have: each is made in a folder of the job's own."""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAME_BYTES, MAX_PART_BYTES, MAX_PARTS = 255, 100, 8


def why_unsafe(names: Iterable[str]) -> str:
    """Why these files cannot stand in one folder; "" if they can."""
    taken: dict[str, str] = {}  # by what a disk that knows no case makes of them
    for name in names:
        problem = problem_of(name)
        if problem:
            return f"a file's name is {name[:100]!a}, which {problem}"
        if name.casefold() in taken:
            return f"two files have the names {taken[name.casefold()]!a} and {name!a}"
        taken[name.casefold()] = name
    for folded, name in taken.items():
        parts = folded.split("/")
        for length in range(1, len(parts)):
            if "/".join(parts[:length]) in taken:
                return f"{taken['/'.join(parts[:length])]!a} is a file, and the folder of {name!a}"
    return ""


def problem_of(name: str) -> str:
    """What is wrong with one name by itself; "" if nothing is."""
    parts = name.split("/")
    if not name.isprintable():
        return "is not printable"
    if len(name.encode("utf-8")) > MAX_NAME_BYTES or len(parts) > MAX_PARTS:
        return "is too long"
    return next(filter(None, map(problem_of_part, parts)), "")


def problem_of_part(part: str) -> str:
    """The same for what stands between two slashes."""
    if part in ("", ".", ".."):
        return "leads out of its folder, or nowhere"
    if "\\" in part:
        return "has a backslash"
    if part.startswith("-"):
        return "would be taken for an option"
    return "is too long" if len(part.encode("utf-8")) > MAX_PART_BYTES else ""
