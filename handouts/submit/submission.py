"""What is sent to the queue: the main file, what goes with it, and what is asked for."""

from __future__ import annotations

import argparse
import os
import posixpath
from pathlib import Path
from typing import Any

from handouts.submit.c_includes import CODE_ENDINGS
from handouts.submit.compiler_flags import check_python, include_folders, joined_flags
from handouts.submit.data_files import take_data
from handouts.submit.directives import read_directives
from handouts.submit.gather import Gathering
from handouts.submit.relative_names import joined_name, name_below
from handouts.submit.source_file import check_arguments, read_source
from handouts.submit.source_options import add_wishes
from handouts.submit.together import check_together
from handouts.submit.wishes import Wish, Wishes

SHOWN_FILES, SHOWN_FLAGS = 3, 16  # more are counted


class Submission:
    """A program, ready to be sent."""

    def __init__(self, wishes: Wishes, gathering: Gathering, args: list[str]) -> None:
        self.main = gathering.main
        self.wishes = wishes
        self.missing = gathering.missing
        named = {wish.text for wish in wishes.beside if is_code(wish.text)}
        compiled = set() if is_python(self.main) else named - gathering.included
        others = sorted(name for name in gathering.texts if name != self.main)
        self.sources = [name for name in others if name in compiled]
        self.includes = [name for name in others if name not in compiled]
        self.body: dict[str, Any] = {
            "source": gathering.texts[self.main],
            "filename": self.main,
            "args": args,
        }
        asked = {
            "sources": {name: gathering.texts[name] for name in self.sources},
            "includes": {name: gathering.texts[name] for name in self.includes},
            "flags": [flag.text for flag in wishes.flags],
            "platform": wishes.platform.text,
            "asm": wishes.asm,
        }
        self.body.update({key: value for key, value in asked.items() if value})

    @property
    def summary(self) -> str:
        """What is sent, in a line; "" for nothing but the main file."""
        line = "Sending " + in_a_row([self.main, *self.sources])
        if self.includes:
            line += " with " + in_a_row(self.includes)
        if self.wishes.flags:
            flags = self.body["flags"]
            more = f" and {len(flags) - SHOWN_FLAGS} more" if len(flags) > SHOWN_FLAGS else ""
            line += ", flags " + " ".join(flags[:SHOWN_FLAGS]) + more
        if self.wishes.platform.text:
            line += ", for " + self.wishes.platform.text
        return line + "." if line != f"Sending {self.main}" else ""


def prepare(options: argparse.Namespace) -> Submission:
    """What the command line and the main file ask for. Raises Stop for what cannot be sent."""
    source = read_source(options.file)
    check_arguments(options.args)
    wishes = all_wishes(options, source)
    gathering = Gathering(options.file, source, include_folders(wishes.flags))
    for wish in (*wishes.beside, *wishes.headers):
        gathering.add(wish.text, wish.place)
    gathering.follow()
    check_together(gathering)
    for wish in {wish.text: wish for wish in wishes.data}.values():
        take_data(gathering, wish)
    return Submission(wishes, gathering, options.args)


def all_wishes(options: argparse.Namespace, source: str) -> Wishes:
    """Those of the file and of the command line; files by their names. Raises Stop."""
    folder = options.file.parent
    wishes = read_directives(source, options.file.name)
    wishes.beside = [named_by_file(wish) for wish in wishes.beside]
    wishes.headers = [named_by_file(wish) for wish in wishes.headers]
    options.beside = [name_of_path(Path(path), folder) for path in options.beside]
    add_wishes(wishes, options, "")
    wishes.flags = joined_flags(wishes.flags)
    check_python(options.file.name, wishes.flags)
    if not wishes.platform.text.isprintable():
        raise wishes.platform.refuse(f"There is no platform {wishes.platform.text}.")
    return wishes


def named_by_file(wish: Wish) -> Wish:
    """A file that a directive names, seen from the main file's folder. Raises Stop."""
    if "\\" in wish.text:
        raise wish.refuse(f"write / in place of \\: {wish.text}")
    return Wish(joined_name("", wish.text), wish.place)


def name_of_path(path: Path, folder: Path) -> str:
    """The name of a file that the command line names; it may stand beside the main file."""
    return name_below(folder, path if os.path.exists(path) else folder / path)


def is_code(name: str) -> bool:
    """Whether it is a source of C, C++ or CUDA."""
    return posixpath.splitext(name)[1].lower() in CODE_ENDINGS


def is_python(name: str) -> bool:
    return name.lower().endswith(".py")


def in_a_row(names: list[str]) -> str:
    """Such as "a, b and c", or "a and 7 more files"."""
    if len(names) > SHOWN_FILES:
        return f"{names[0]} and {len(names) - 1} more files"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
