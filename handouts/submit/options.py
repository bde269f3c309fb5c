"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from handouts.client.auth import HERE


class Parser(argparse.ArgumentParser):
    """Says what to do about arguments that were meant for the program."""

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message += " (put -- before the program's own)"
        super().error(message)


def parse(argv: Any) -> argparse.Namespace:
    parser = Parser(
        description="Submit a CUDA program to Telerun's queue and print what came of it.",
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
    parser.add_argument(
        "--auth",
        type=Path,
        default=HERE / "auth.json",
        metavar="FILE",
        help="who you are (default: auth.json beside this script)",
    )
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument(
        "--override-pending", action="store_true", help="replace your job that waits in the queue"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="save the files that the program writes to ./out/ here (default: telerun-out/JOB)",
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--attach", type=int, metavar="ID", help="wait for a job submitted before, and print it"
    )
    one.add_argument("--cancel", type=int, metavar="ID", help="cancel a job of yours")
    options = parser.parse_intermixed_args(argv)
    if (options.file is None) == (options.attach is None and options.cancel is None):
        parser.error("name one FILE.cu, or use --attach ID or --cancel ID")
    if options.cancel is not None and options.out is not None:
        parser.error(
            "--out goes with FILE.cu or --attach ID: a job that is cancelled leaves no files"
        )
    return options
