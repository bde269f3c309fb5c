"""Which of the files in ./out/ come back to the student, and what was written beside it."""

from __future__ import annotations

from typing import Any

from handouts.client.words import in_size
from handouts.executor.results.archive import BESIDE, Found

REASONS = {
    "d": "it is a folder; only files in out/ itself come back",
    "l": "it is a link",
    "h": "it is a link to a file that has another name too",
    "s": "it is no plain file",
    "u": "it cannot be read",
    "o": "it is no folder that can be read",
}
NAMED = 20  # of the files that do not come back, this many are named
NAMED_BESIDE = 8  # of those that were written beside out/


class Outputs:
    """Which entries of ./out/ come back, and why others do not."""

    def __init__(self, entries: list[Found], limits: dict[str, int], listings: int = 0) -> None:
        """`listings`: so many of the first are not the program's, but show how it was compiled;
        they count in bytes alone."""
        self.files: list[dict[str, Any]] = []  # "name", "size", "offset" in the archive
        self._maximum = limits["output_files"]
        self._counted = 0
        self._listings: set[bytes] = set()
        self._bytes = self._room = limits["output_file_bytes"]
        self._left_out: list[dict[str, str]] = []
        self._unnamed = 0
        self._beside: list[dict[str, Any]] = []
        self._unnamed_beside = 0
        for number, entry in enumerate(entries):
            self._add(entry, number < listings)

    def report(self) -> dict[str, Any]:
        """Members of the result that are not empty: what comes back, what does not and why, and
        what does not because it was written beside ./out/."""
        members = {
            "files": [{"name": f["name"], "size": f["size"]} for f in self.files],
            "files_left_out": self._left_out,
            "more_files_left_out": self._unnamed,
            "files_beside": self._beside,
            "more_files_beside": self._unnamed_beside,
        }
        return {name: value for name, value in members.items() if value}

    def _add(self, entry: Found, is_listing: bool) -> None:
        if entry.kind in BESIDE:
            self._add_beside(entry)
            return
        why = self._why_not(entry, is_listing)
        if not why:
            if is_listing:
                self._listings.add(entry.name)
            self._counted += not is_listing
            self._room -= entry.size
            self.files.append(
                {"name": entry.name.decode(), "size": entry.size, "offset": entry.offset}
            )
        elif entry.kind == "m" or len(self._left_out) >= NAMED:
            self._unnamed += entry.size if entry.kind == "m" else 1
        else:
            self._left_out.append({"name": spelled_out(entry.name), "reason": why})

    def _add_beside(self, entry: Found) -> None:
        if entry.kind == "x" or len(self._beside) >= NAMED_BESIDE:
            self._unnamed_beside += entry.size if entry.kind == "x" else 1
        elif entry.kind == "v":
            self._beside.append({"name": spelled_out(entry.name) + "/"})
        else:
            self._beside.append({"name": spelled_out(entry.name), "size": entry.size})

    def _why_not(self, entry: Found, is_listing: bool) -> str:
        if entry.kind not in "fbc":
            return REASONS.get(entry.kind, "there are too many")
        if not is_plain_name(entry.name):
            return "its name is not printable text without slashes"
        if entry.name in self._listings:
            return "the name is taken by the listing of the compiler"
        is_one_too_many = self._counted >= self._maximum and not (is_listing and self._maximum)
        if entry.kind == "c" or is_one_too_many:
            if not self._maximum:
                return "this queue keeps no files"
            return f"no more than {self._maximum} files come back"
        if entry.kind == "b" or entry.size > self._room:
            together = in_size(self._bytes)
            return f"it has {in_size(entry.size)}, and all files together may have {together}"
        return ""


def is_plain_name(name: bytes) -> bool:
    """Whether the queue takes a file of that name."""
    try:
        text = name.decode("utf-8")
    except ValueError:
        return False
    return (
        text.isprintable()
        and text not in ("", ".", "..")
        and not set("/\\") & set(text)
        and len(name) <= 255
    )


def spelled_out(name: bytes) -> str:
    """Any name as short text that is safe on a terminal."""
    text = name.decode("utf-8", "backslashreplace")
    safe = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in text]
    return "".join(safe)[:100]
