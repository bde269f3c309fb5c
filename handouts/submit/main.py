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
  6    the program succeeded, but not all of its output could be saved or printed
  130  interrupted with Ctrl-C
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from handouts.client.auth import read_auth
from handouts.client.errors import BadSetup, Untrusted
from handouts.client.tracebacks import print_unexpected
from handouts.client.words import warn
from handouts.submit.as_typed import as_typed, remember
from handouts.submit.compile_log import OwnPaths
from handouts.submit.hints import hint_at_arguments, hint_at_missing
from handouts.submit.job_client import Client
from handouts.submit.older_queue import call_off, is_wrong_without, left_out, older_queue
from handouts.submit.options import parse
from handouts.submit.stop import INTERRUPTED, SUCCEEDED, UNREACHABLE, UNSAVED, WRONG_USAGE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.submission import Submission, prepare


def run(options: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit status. Raises Stop, BadSetup, Untrusted."""
    submission = prepare(options) if options.file else None
    client = Client(StreamingQueue(read_auth(options.auth, "username", options.server)))
    if submission:
        client.live.paths = OwnPaths(str(options.file)[: -len(submission.main)])
    job: dict[str, Any] | None = None
    try:
        if options.cancel is not None:
            return cancel(client, options.cancel)
        if options.attach is not None:
            job = client.get(options.attach)
        elif submission:
            job = submit(client, submission, options)
        job = client.wait(job)
        from handouts.submit.log_files import save_logs
        from handouts.submit.output_files import save_files
        from handouts.submit.show import show

        status = show(job, client.live)
        if submission and job.get("outcome") == "compile_error":
            hint_at_missing(submission, job["result"]["compile_log"])
        folder = options.out or Path("telerun-out", str(job["id"]))
        save_logs(job, folder)
        saved = save_files(client, job, folder)
        has_all = saved and not client.screen.has_failed
        return UNSAVED if status == SUCCEEDED and not has_all else status
    except KeyboardInterrupt:
        return interrupted(client, job)
    except Stop as stop:
        client.screen.begin_line()
        if job is not None and stop.status == UNREACHABLE:
            raise Stop(
                UNREACHABLE,
                f"{str(stop).rstrip('.')}. The queue keeps your job; "
                f"see it later with: {as_typed('--attach', str(job['id']))}",
            ) from None
        raise


def submit(client: Client, submission: Submission, options: argparse.Namespace) -> dict[str, Any]:
    """Sends the program, and says what is sent; the job. Raises Stop."""
    hint_at_arguments(submission, options.file.parent)
    if submission.summary:
        warn(submission.summary)
    job = client.submit(submission, options.override_pending)
    passed_over = left_out(job, submission.body)
    if is_wrong_without(passed_over, submission.body):
        raise call_off(job, passed_over, client.cancel)
    warn(f"Submitted {options.file} as job {job['id']}.")
    if passed_over:
        warn(older_queue(passed_over))
    return job


def cancel(client: Client, job_id: int) -> int:
    """--cancel: says what became of the job; the exit status."""
    job = client.cancel(job_id)
    state = "cancelled" if job["state"] == "cancelled" else "told to stop"
    warn(f"Job {job['id']} is {state}.")
    return SUCCEEDED


def interrupted(client: Client, job: dict[str, Any] | None) -> int:
    """Ctrl-C: takes a job that still waits out of the queue; one that runs is left running."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends this at once
    client.queue.close()  # an answer may be under way on it
    client.screen.begin_line()
    try:
        job = job or client.submitted()
    except Stop as stop:
        if stop.status == UNREACHABLE:
            warn("Interrupted. The queue could not be asked whether it has the job.")
            return INTERRUPTED
    if job is None:
        warn("Interrupted.")
        return INTERRUPTED
    job = client.get(job["id"])
    number = job["id"]
    if job["state"] == "queued":
        job = client.cancel(number)
    if job["state"] == "cancelled":
        warn(f"Job {number} is cancelled.")
    elif job.get("cancel_requested_at"):
        warn(f"Job {number} is told to stop.")
    else:
        warn(
            f"Job {number} is {job['state']} already and was not cancelled. To see it: "
            f"{as_typed('--attach', str(number))}; to stop it: {as_typed('--cancel', str(number))}"
        )
    return INTERRUPTED


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (until the end)
    try:
        options = parse(argv)
        remember(*options.repeated)
        return run(options)
    except Stop as stop:
        warn(f"submit.py: {stop}")
        return stop.status
    except BadSetup as error:
        warn(f"submit.py: {error}")
        return WRONG_USAGE
    except Untrusted as error:
        warn(f"submit.py: {error}")
        return UNREACHABLE
    except KeyboardInterrupt:
        warn("Interrupted.")
        return INTERRUPTED


def run_and_exit() -> None:
    """As a command."""
    sys.excepthook = print_unexpected
    gc.disable()  # takes 1 ms, and nothing here lasts long enough to be worth it
    # Python's own cleaning up takes 10 ms, of every student's wait, and there is nothing to clean.
    os._exit(main())


if __name__ == "__main__":
    run_and_exit()
