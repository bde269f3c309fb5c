"""The command line."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from handouts.submit.as_typed import as_typed
from handouts.submit.own_files import trouble_with_folder
from handouts.submit.own_jobs import job_number
from handouts.submit.source_options import add_source_options, formatter, with_joined_flags
from handouts.submit.stop import WRONG_USAGE, Stop
from handouts.submit.words_meant import meant_by, nearest

FLAG_BEGINNINGS = ("-l", "-I", "-D", "-X", "-O", "-std", "-arch", "-gencode", "--std", "--expt")
USUALLY_LISTED = 10
IN_WORDS_ALONE = ("web", "login", "doctor")  # they have no answer in JSON
OTHER_USES = ("list", "attach", "cancel", "compare", "status", *IN_WORDS_ALONE, "version")
EPILOG = (
    "Exit status 0: the program succeeded. 1: it did not. 2: wrong usage. 3: refused. "
    "4: queue unreachable. 5: cancelled or failed. 6: it succeeded, but some of its printed output "
    "or files was left out or not saved. 130: Ctrl-C."
)
# With the program, what one needs in the first weeks.
FIRST_STEPS = (
    ("prog.cu [ARG ...]", "run a program, and print what it prints"),
    ("--list", "your latest jobs"),
    ("--attach last", "the newest once more, or as it goes on"),
    ("--status", "how the queue is"),
    ("--help", "everything else"),
)


NO_JOB = re.compile(r"^argument (--attach|--cancel): expected one argument$")
SAY_A_JOB = "say the job's number, as in 17, or last for your newest"


class Parser(argparse.ArgumentParser):
    """Says in a line what is wrong, and what to do. Raises Stop."""

    def error(self, message: str) -> Any:
        message = NO_JOB.sub(rf"\1: {SAY_A_JOB}", message)
        if message.startswith("unrecognized arguments: "):
            words = message.partition(": ")[2].split()
            found = nearest(words[0], known_options(self))
            message += f" (did you mean {found}? " if found else " ("
            message += "put -- before the program's own"
            is_flag = any(word.startswith(FLAG_BEGINNINGS) for word in words)
            message += "; for the compiler: --flag=-lcublas)" if is_flag else ")"
        raise Stop(WRONG_USAGE, message if "Did you mean: " in message else message + ".")


def known_options(parser: argparse.ArgumentParser) -> list[str]:
    return [word for word in parser._option_string_actions if word.startswith("--")]


def parse(argv: Any) -> argparse.Namespace:
    """Raises Stop for what cannot be meant; --help ends the program."""
    words = with_joined_flags(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        formatter_class=formatter,
        usage="%(prog)s FILE.cu [ARG ...] [options]\n       %(prog)s one of the other uses below",
        description="Run a program on the course's GPUs and print what comes of it.",
        epilog=EPILOG,
        allow_abbrev=False,
        add_help=False,
    )
    add_program(parser.add_argument_group("the program"))
    add_source_options(parser.add_argument_group("what is sent"))
    add_ways(parser.add_argument_group("how"))
    others = parser.add_argument_group("other uses, in place of FILE.cu")
    add_other_uses(others.add_mutually_exclusive_group())
    others.add_argument("-h", "--help", action="help", help="this text")
    add_who_and_where(parser.add_argument_group("who and where"))
    if not words:
        raise Stop(WRONG_USAGE, first_steps())
    options = parser.parse_intermixed_args(words)
    check_combination(parser, options)
    options.repeated = repeated(options)
    return options


def first_steps() -> str:
    """What is said to somebody who says nothing."""
    rows = [(as_typed() + " " + words, what) for words, what in FIRST_STEPS]
    width = max(len(command) for command, _ in rows)
    lines = [f"  {command:{width}}  {what}" for command, what in rows]
    return "\n".join(["name a program, or say what else you want:", *lines])


def add_program(group: Any) -> None:
    group.add_argument("file", nargs="?", type=Path, metavar="FILE.cu", help="what is to run")
    group.add_argument(
        "args",
        nargs="*",
        metavar="ARG",
        help="arguments for it; put -- before those that begin with a dash",
    )


def add_ways(group: Any) -> None:
    """How a program is submitted, and what is done with what comes of it."""
    group.add_argument(
        "--out",
        metavar="DIR",
        help="save its logs, and the files that the program writes to ./out/, here; those of the "
        "last run there are replaced (default: telerun-out/JOB)",
    )
    group.add_argument(
        "--force", action="store_true", help="with --out: replace any file of the same name"
    )
    group.add_argument(
        "--detach", action="store_true", help="submit, and do not wait; --attach shows the result"
    )
    group.add_argument(
        "--wait-turn",
        action="store_true",
        help="where a job of yours waits already, wait until it runs, then submit",
    )
    group.add_argument(
        "--override-pending", action="store_true", help="replace your job that waits in the queue"
    )
    group.add_argument("--quiet", action="store_true", help="nothing on standard error but errors")
    group.add_argument(
        "--json", action="store_true", help="what came of it as one JSON object, for scripts"
    )


def add_other_uses(group: Any) -> None:
    """Each by itself."""
    group.add_argument(
        "--list",
        nargs="?",
        const=str(USUALLY_LISTED),
        metavar="N",
        help=f"your latest jobs, {USUALLY_LISTED} unless you say how many",
    )
    group.add_argument(
        "--attach", metavar="ID", help='wait for a job submitted before, and print it; or "last"'
    )
    group.add_argument("--cancel", metavar="ID", help='cancel a job of yours; or "last"')
    group.add_argument(
        "--compare", nargs=2, metavar=("ID", "ID"), help="two jobs side by side: times, source"
    )
    group.add_argument("--status", action="store_true", help="how the queue is, with your jobs")
    group.add_argument("--web", action="store_true", help="open your page in a browser, logged in")
    group.add_argument(
        "--login", action="store_true", help="ask for a log-in code, and keep who you are"
    )
    group.add_argument(
        "--doctor", action="store_true", help="say what is wrong with this set-up, if anything is"
    )
    group.add_argument("--version", action="store_true", help="of this program, and of Python")


def add_who_and_where(group: Any) -> None:
    group.add_argument(
        "--auth",
        type=Path,
        metavar="FILE",
        help="who you are (default: auth.json beside this script, or else what --login wrote)",
    )
    group.add_argument("--server", metavar="URL", help="https://host:port of the queue")


def repeated(options: argparse.Namespace) -> list[str]:
    """The options that a hint has to repeat: who asks, and whom."""
    words = ["--auth", str(options.auth)] if options.auth else []
    return words + (["--server", options.server] if options.server else [])


def other_use(options: argparse.Namespace) -> str:
    """The option that stands in place of a program; "" if none does."""
    for name in OTHER_USES:
        if getattr(options, name) is not None and getattr(options, name) is not False:
            return "--" + name
    return ""


def check_combination(parser: Parser, options: argparse.Namespace) -> None:
    """Raises Stop for options that do not go together."""
    other = other_use(options)
    if options.file is None and not other:
        parser.error("name one FILE.cu, or use --attach ID or --cancel ID; --help says more")
    if options.file is not None:
        meant = meant_by(options.file, options.args, known_options(parser))
        if meant and not other:
            parser.error(f"there is no file {options.file}. Did you mean: {meant}")
        if other:
            parser.error(f"{other} stands alone, without {options.file}")
        if str(options.file)[0] == "-" and not os.path.lexists(options.file):
            parser.error(f"unrecognized arguments: {options.file}")
    check_jobs(parser, options)
    if other:
        check_other_use(parser, options, other)
    check_folder(parser, options)
    if options.force and options.out is None:
        parser.error("--force goes with --out DIR")
    if options.wait_turn and options.override_pending:
        parser.error("--wait-turn waits for your job in the queue, --override-pending replaces it")
    about_source = options.flags or options.beside or options.platform is not None or options.asm
    if options.file is None and about_source:
        parser.error("--with, --flag, --platform and --asm go with FILE.cu")


def check_folder(parser: Parser, options: argparse.Namespace) -> None:
    """That --out can be one is known before a program runs for it. Raises Stop."""
    out = options.out
    if out is not None:
        if not out or (os.path.lexists(out) and not os.path.isdir(out)):
            parser.error(f"--out names a folder, which {out or 'an empty word'} is not")
        options.out = Path(out)
        if why := trouble_with_folder(options.out):
            parser.error(f"--out {out}: nothing can be written there: {why}")


def check_other_use(parser: Parser, options: argparse.Namespace, other: str) -> None:
    """The options that do not go with one that stands in place of a program. Raises Stop."""
    if other != "--attach" and (options.out is not None or options.force):
        parser.error(f"--out and --force go with FILE.cu or --attach ID, not with {other}")
    if options.detach or options.wait_turn or options.override_pending:
        parser.error(
            f"--detach, --wait-turn and --override-pending go with FILE.cu, not with {other}"
        )
    if options.json and other[2:] in IN_WORDS_ALONE:
        parser.error(f"--json does not go with {other}")


def check_jobs(parser: Parser, options: argparse.Namespace) -> None:
    """The numbers of jobs, in one form. Raises Stop."""
    if options.list is not None:
        if not re.fullmatch("0{0,9}[1-9][0-9]{0,8}", options.list):
            parser.error(f"--list {options.list}: say how many jobs, 1 or more")
        options.list = int(options.list)
    for name in ("attach", "cancel"):
        if getattr(options, name) is not None:
            setattr(options, name, job_number(getattr(options, name)))
    if options.compare is not None:
        options.compare = [job_number(text) for text in options.compare]
