"""The command line, and those of its options that a directive may hold too."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handouts.submit.wishes import Wish, Wishes

FLAG_BEGINNINGS = ("-l", "-I", "-D", "-X", "-O", "-std", "-arch", "-gencode", "--std", "--expt")


def formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal. argparse asks shutil for that, which takes long to import."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


class Parser(argparse.ArgumentParser):
    """Says what to do about arguments that were meant for the program."""

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message += " (put -- before the program's own"
            is_flag = any(word.startswith(FLAG_BEGINNINGS) for word in message.split())
            message += "; for the compiler: --flag=-lcublas)" if is_flag else ")"
        super().error(message)


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


def parse(argv: Any) -> argparse.Namespace:
    parser = Parser(
        formatter_class=formatter,
        description="Submit a program to Telerun's queue and print what came of it.",
        epilog="Exit status 0: the program succeeded. 1: it did not. 2: wrong usage. 3: refused. "
        "4: queue unreachable. 5: cancelled or failed. 6: output files not saved. 130: Ctrl-C.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.cu", help="the program")
    parser.add_argument(
        "args",
        nargs="*",
        metavar="ARG",
        help="arguments for the program; put -- before those that begin with a dash",
    )
    add_source_options(parser)
    parser.add_argument(
        "--auth",
        type=Path,
        metavar="FILE",
        help="who you are (default: auth.json beside this script, or else what --login wrote)",
    )
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument(
        "--override-pending", action="store_true", help="replace your job that waits in the queue"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="save its logs, and the files that the program writes to ./out/, here "
        "(default: telerun-out/JOB)",
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--attach", type=int, metavar="ID", help="wait for a job submitted before, and print it"
    )
    one.add_argument("--cancel", type=int, metavar="ID", help="cancel a job of yours")
    one.add_argument("--web", action="store_true", help="open your page in a browser, logged in")
    one.add_argument(
        "--login", action="store_true", help="ask for a log-in code, and keep who you are"
    )
    one.add_argument(
        "--doctor", action="store_true", help="say what is wrong with this set-up, if anything is"
    )
    options = parser.parse_intermixed_args(
        with_joined_flags(sys.argv[1:] if argv is None else argv)
    )
    check_combination(parser, options)
    options.repeated = repeated(options)
    return options


def repeated(options: argparse.Namespace) -> list[str]:
    """The options that a hint has to repeat: who asks, and whom."""
    words = ["--auth", str(options.auth)] if options.auth else []
    return words + (["--server", options.server] if options.server else [])


def check_combination(parser: Parser, options: argparse.Namespace) -> None:
    """Ends the program for options that do not go together."""
    is_else = options.login or options.doctor or options.web
    if (options.file is None) == (
        options.attach is None and options.cancel is None and not is_else
    ):
        parser.error("name one FILE.cu, or use --attach ID, --cancel ID or --web")
    if options.cancel is not None and options.out is not None:
        parser.error(
            "--out goes with FILE.cu or --attach ID: a job that is cancelled leaves no files"
        )
    about_source = options.flags or options.beside or options.platform is not None or options.asm
    if options.file is None and about_source:
        parser.error("--with, --flag, --platform and --asm go with FILE.cu")
