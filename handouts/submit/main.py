"""Submit a program to Telerun's queue and print what came of it.

    python3 submit.py program.cu
    python3 submit.py program.cu --with kernels.cu --flag=-lcublas --platform h100

What it includes from its own folder is sent along. A comment in its first lines may stand for
options: // telerun: --with kernels.cu --flag=-lcublas --platform h100

Its logs, and the files that it writes to ./out/, are saved in ./telerun-out/JOB/.

Needs Python 3.8 or newer, nothing else, on Linux, macOS or Windows. Beside this file stands
auth.json, from the course staff: {"username": "...", "token": "..."}, and optionally "server"
(https://host:port) and "certificate" (a PEM file to trust, relative to auth.json). A server.cert
beside this file is trusted too.

Exit status:
  0    the program was compiled, ran, and succeeded
  1    the program did not: compile error, non-zero exit, killed, or a limit was hit
  2    wrong usage: arguments, the source file, or auth.json
  3    the queue refused: no such job, a wrong token, a job of yours waits already; or it is too
       old for what the program needs
  4    the queue cannot be reached or trusted; the job, if submitted, is safe there
  5    there is no result: the job was cancelled, or the system failed it
  6    the program succeeded, but some of what it printed, or of its files, was left out or could
       not be saved; write large output to files in ./out/
  130  interrupted with Ctrl-C
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from pathlib import Path

from handouts.client.auth import read_auth
from handouts.client.connection import VERSION
from handouts.client.errors import BadSetup, Unreachable, Untrusted
from handouts.client.tracebacks import print_unexpected
from handouts.submit.answers_in_json import is_unwritten, put_json, put_lines
from handouts.submit.as_typed import as_typed, remember
from handouts.submit.auth_place import auth_file
from handouts.submit.commands import command
from handouts.submit.compile_log import OwnPaths
from handouts.submit.doctor import doctor
from handouts.submit.job_client import Client
from handouts.submit.login import login
from handouts.submit.notices import be_quiet, tell
from handouts.submit.options import parse
from handouts.submit.printable import printable
from handouts.submit.stop import INTERRUPTED, SUCCEEDED, UNREACHABLE, UNSAVED, WRONG_USAGE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.submission import prepare
from handouts.submit.typed_secrets import refuse_secrets
from handouts.submit.watching import Watch


def run(options: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit status. Raises Stop, BadSetup, Untrusted."""
    if options.version:
        return show_version(options)
    if options.login or options.doctor:
        return (login if options.login else doctor)(options.auth, options.server)
    submission = prepare(options) if options.file else None
    auth = read_auth(auth_file(options.auth), "username", options.server, as_typed("--login"))
    client = Client(StreamingQueue(auth))
    client.turns.watch_signals()
    if submission:
        client.live.paths = OwnPaths(str(options.file)[: -len(submission.main)])
    try:
        status = command(client, options)
        return Watch(client, options, submission).run() if status is None else status
    finally:
        client.turns.close()


def show_version(options: argparse.Namespace) -> int:
    """--version: of this program, and of what runs it."""
    python = ".".join(map(str, sys.version_info[:3]))
    if options.json:
        put_json(SUCCEEDED, version=VERSION, python=python)
    else:
        put_lines([f"submit.py {VERSION}, Python {python} on {sys.platform}"])
    return SUCCEEDED


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (until the end)
    wants_json = "--json" in (sys.argv[1:] if argv is None else argv)
    try:
        refuse_secrets(sys.argv[1:] if argv is None else argv)
        options = parse(argv)
        remember(*options.repeated)
        if options.quiet:
            be_quiet()
        status = run(options)
        return UNSAVED if status == SUCCEEDED and is_unwritten() else status
    except Stop as stop:
        status, message = stop.status, str(stop)
    except BadSetup as error:
        status, message = WRONG_USAGE, str(error)
    except (Untrusted, Unreachable) as error:
        status, message = UNREACHABLE, str(error)
    except KeyboardInterrupt:
        tell("Interrupted.")
        return INTERRUPTED
    # Some of it may be what an answer says, from whoever gave it.
    tell(f"submit.py: {printable(message)}")
    if wants_json:
        put_json(status, error=message)
    return status


def run_and_exit() -> None:
    """As a command."""
    sys.excepthook = print_unexpected
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # see start.py
    gc.disable()  # takes 1 ms, and nothing here lasts long enough to be worth it
    # Python's own cleaning up takes 10 ms, of every student's wait, and there is nothing to clean.
    os._exit(main())


if __name__ == "__main__":
    run_and_exit()
