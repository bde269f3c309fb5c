"""Run the jobs of Telerun's queue on this machine's GPUs, or on its CPU.

    python3 executor.py --nproc-compile 2 --nproc-execute 1
    python3 executor.py --nproc-compile 2 --nproc-execute 0 --nproc-cpu 4

Needs Python 3.8 or newer, nvcc and bubblewrap on Linux, nothing else. It asks the queue for work
over outbound HTTPS, compiles it, runs each program on one GPU or none, and sends the logs back.
Beside this file stands auth.json, from the course staff: {"executor": "...", "token": "..."}, and
optionally "server" (https://host:port) and "certificate" (a PEM file to trust, relative to
auth.json). A server.cert beside this file is trusted too.

How it works. Each compile worker claims a job that there is room for, compiles it and hands it to
an execution worker, so that the next job compiles while one runs. Compilers and programs are
started by slots: one child process for each worker, which enforces the limits and leaves no process
behind, not even when this one is killed. Both run in a sandbox (bubblewrap): as a uid of the slot's
own where this is started by root, and without network, home, or other processes. One thread sends
the heartbeats of all jobs in hand, four the results, up to eight what programs print while they
run. A result is on disk before it is sent, with the files that its program left in ./out/; what
could not be sent is sent by the next start.

SIGTERM or Ctrl-C: take no more jobs, finish those in hand, exit 0. A second one: give them back.

Exit status: 0 stopped as asked, 1 the queue refuses this executor, 2 wrong usage or setup,
70 a fault of its own (start it again: nothing is lost), 75 the GPUs or their driver are not up yet
(start it again in a while).
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from typing import Any

from handouts.client.auth import read_auth
from handouts.client.errors import BadSetup
from handouts.client.tracebacks import print_unexpected
from handouts.client.words import warn
from handouts.executor.base.exit_statuses import NOT_READY, STOPPED, WRONG_USAGE
from handouts.executor.base.options import parse
from handouts.executor.base.say import say
from handouts.executor.machine.gpu import DriverNotReady
from handouts.executor.pipeline.executor import Executor
from handouts.executor.slot.protocol import Setup
from handouts.executor.slot.slot_process import SlotProcess


class StoppedEarly(BaseException):
    """Asked to stop before there was anything to finish."""


def stop_early(_number: int, _frame: Any) -> None:
    """Ends the start at once, wherever it is; a second signal changes nothing."""
    ignore_signals()
    raise StoppedEarly


def ignore_signals() -> None:
    """For the rest of this process's time."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--slot"]:
        SlotProcess(Setup.decode(argv[1])).serve()
        return STOPPED
    options = parse(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the token
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_early)  # until the executor runs, and handles them itself
    try:
        return work(options)
    except StoppedEarly:  # also while it says why it cannot start
        say("Stopped while it was starting.")
        return STOPPED


def work(options: argparse.Namespace) -> int:
    """The exit status, of all but a signal before it begins."""
    try:
        auth = read_auth(options.auth, "executor", options.server)
        executor = Executor(options, auth)
        try:
            return executor.run()
        finally:
            executor.close()
    except DriverNotReady as error:
        warn(f"executor.py: {error} It was waited for; start this again, as its service does.")
        ignore_signals()
        return NOT_READY
    except BadSetup as error:
        warn(f"executor.py: {error}")
        ignore_signals()
        return WRONG_USAGE


if __name__ == "__main__":
    sys.excepthook = print_unexpected
    sys.exit(main())
