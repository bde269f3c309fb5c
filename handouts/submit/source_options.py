"""The options that say what is sent, on the command line and in a directive."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from handouts.submit.wishes import Wish, Wishes


def formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal. argparse asks shutil for that, which takes long to import."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


class SourceParser(argparse.ArgumentParser):
    """For a directive: takes the options that say what is sent, and calls `refuse` for others."""

    form = "--flag=FLAG, --platform NAME, --with FILE and --asm are what it takes"

    def __init__(self, refuse: Callable[[str], None]) -> None:
        super().__init__(add_help=False, allow_abbrev=False, usage="", formatter_class=formatter)
        self._refuse = refuse
        add_source_options(self)

    def take(self, words: list[str], wishes: Wishes, place: str) -> None:
        """Adds what the words ask for. Raises what `refuse` raises."""
        add_wishes(wishes, self.parse_args(with_joined_flags(words)), place)

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message = message.replace("unrecognized arguments: ", "it takes no ")
            message += "; " + self.form
        self._refuse(message)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is sent."""
    parser.add_argument(
        "--with",
        dest="beside",
        action="append",
        default=[],
        metavar="FILE",
        help="send this file too; a source is compiled and linked with the program",
    )
    parser.add_argument(
        "--flag",
        dest="flags",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag for the compiler, such as --flag=-lcublas",
    )
    parser.add_argument(
        "--platform", metavar="NAME", help="hardware to run on, such as h100 or cpu"
    )
    parser.add_argument(
        "--asm", action="store_true", help="bring back what the compiler made, as text"
    )


def add_wishes(wishes: Wishes, options: argparse.Namespace, place: str) -> None:
    """Adds what the options of `add_source_options` ask for."""
    wishes.flags = wishes.flags + [Wish(flag, place) for flag in options.flags]
    wishes.beside = wishes.beside + [Wish(path, place) for path in options.beside]
    wishes.asm = wishes.asm or options.asm
    if options.platform is not None:
        wishes.platform = Wish(options.platform.lower(), place)


def with_joined_flags(words: list[str]) -> list[str]:
    """`--flag -lm` as `--flag=-lm`, which argparse takes though a value begins with a dash."""
    joined: list[str] = []
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        if joined and joined[-1] == "--flag":
            joined[-1] += "=" + word
        else:
            joined.append(word)
    return joined + words[end:]
