"""Finding the files that the main file needs, on the student's machine."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from handouts.client.job_file_names import trouble_with
from handouts.submit.c_includes import CODE_ENDINGS, HEADER_ENDINGS, Include, c_includes
from handouts.submit.python_imports import Import, module_files, python_imports
from handouts.submit.relative_names import is_really_below, joined_name, leads_outside
from handouts.submit.source_file import read_text
from handouts.submit.stop import Stop
from handouts.submit.wishes import refusal_at


class Gathering:
    """The main file, and all that goes with it.

    Files are called by their names relative to the main file's folder; a place is such a name
    and a line, as in "lab.cu:3", or "" for the command line.
    """

    def __init__(self, main: Path, source: str, folders: list[str]) -> None:
        self.root = main.parent
        self.main = main.name
        self.texts = {main.name: source}
        self.places = {main.name: ""}  # where each is asked for
        self.included: set[str] = set()  # by another file
        self.missing: list[tuple[str, str]] = []  # a place, and what it includes
        # Where the compiler looks, too; each is tried for each include.
        self._folders = [
            folder for folder in dict.fromkeys(folders) if os.path.isdir(self.root / folder)
        ]
        self._to_read = [main.name]

    def add(self, name: str, place: str) -> None:
        """Takes the file, unless it is there already. Raises Stop."""
        if name in self.texts:
            return
        if leads_outside(name):
            raise self._outside(f"{name} lies", place)
        why = trouble_with(name)
        if why:
            raise refusal_at(
                place, f"The queue takes no file of the name {name}: {why}; rename it."
            )
        if not is_really_below(self.root, self.root / name):
            raise self._outside(f"{name} is reached by a link, and lies", place)
        try:
            self.texts[name] = read_text(self.root / name, name)
        except Stop as stop:
            raise refusal_at(place, str(stop)) from None
        self.places[name] = place
        self._to_read.append(name)

    def follow(self) -> None:
        """Takes all that is included or imported by what is there. Raises Stop."""
        while self._to_read:
            name = self._to_read.pop(0)
            ending = posixpath.splitext(name)[1].lower()
            if ending == ".py":
                for module in python_imports(self.texts[name]):
                    self._take_module(name, module)
            elif (
                name == self.main
                or name in self.included
                or ending in CODE_ENDINGS + HEADER_ENDINGS
            ):
                for include in c_includes(self.texts[name]):
                    self._take_include(name, include)

    def _take_include(self, name: str, include: Include) -> None:
        found = self._find(name, include)
        if found is not None:
            self.add(found, f"{name}:{include.line}")
            if found != name:
                self.included.add(found)

    def _find(self, name: str, include: Include) -> str | None:
        """The file that is included, None if it is not here. Raises Stop."""
        place, wanted = f"{name}:{include.line}", include.wanted
        if include.is_quoted and "\\" in wanted:
            better = re.sub(r"\\+", "/", wanted)
            raise refusal_at(place, f'write / in place of \\: #include "{better}"')
        folders = [posixpath.dirname(name)] if include.is_quoted else []
        candidates = [joined_name(folder, wanted) for folder in folders + self._folders]
        for candidate in candidates:
            is_here = os.path.isfile(os.path.join(self.root, candidate))
            if is_here and not leads_outside(candidate):
                return candidate
            if is_here and include.is_quoted:
                raise self._outside(f"{wanted} lies", place)
        if include.is_quoted:
            self._miss(candidates[0], wanted, place)
        return None

    def _miss(self, candidate: str, wanted: str, place: str) -> None:
        """Notes an include that is no file here: it may be the toolkit's. Raises Stop."""
        if leads_outside(candidate):
            raise self._outside(f"{wanted} lies", place)
        if os.path.exists(os.path.join(self.root, candidate)):
            is_folder = os.path.isdir(self.root / candidate)
            what = "is a folder; include a file" if is_folder else "is no plain file"
            raise refusal_at(place, f"{candidate} {what}.")
        self.missing.append((place, wanted))

    def _take_module(self, name: str, module: Import) -> None:
        folder, place = "", f"{name}:{module.line}"
        if module.dots:
            folder = joined_name(posixpath.dirname(name), "../" * (module.dots - 1))
            folder = "" if folder == "." else folder
        for found in module_files(self.root, folder, module.parts):
            self.add(posixpath.normpath(found), place)

    def _outside(self, what: str, place: str) -> Stop:
        return refusal_at(
            place,
            f"{what} outside of the folder of {self.main}, and only what is in it can be sent. "
            "Put a copy into it.",
        )
