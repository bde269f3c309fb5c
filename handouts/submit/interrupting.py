"""Ctrl-C while a job is on its way: what the first one says, and what comes of the second."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from handouts.client.words import warn
from handouts.submit.as_typed import as_typed
from handouts.submit.job_client import Client
from handouts.submit.job_lines import is_over
from handouts.submit.stop import REFUSED, Stop

SECOND_SECONDS = 3.0  # so soon after the first, it stops the job
UNSEEN = 3  # so many without an answer: something else than the queue holds this program up


class Interrupts:
    """While a job is watched on a terminal, Ctrl-C is noted, and acted upon between two reads.

    So nothing that is just being shown or sent is cut. Raises KeyboardInterrupt for the second.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unseen = 0
        self._said_at = -SECOND_SECONDS
        self._before: Any = signal.SIG_IGN
        client.turns.add(self._look)

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before != signal.SIG_IGN and sys.stderr.isatty():
            signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self._unseen += 1
        if self._unseen >= UNSEEN:
            raise KeyboardInterrupt

    def _look(self) -> None:
        pressed, self._unseen = self._unseen, 0
        if not pressed:
            return
        now = time.monotonic()
        if pressed > 1 or now < self._said_at + SECOND_SECONDS:
            raise KeyboardInterrupt
        self._said_at = now
        self._client.screen.warn(first_words(self._client.job or {}))


def first_words(job: dict[str, Any]) -> str:
    """What the first Ctrl-C says."""
    again = f"Ctrl-C again within {SECOND_SECONDS:.0f} s"
    head = f"Job {job.get('id')} "
    if job.get("state") == "queued":
        return f"{head}waits in the queue. {again} takes it out."
    if job.get("cancel_requested_at"):
        return f"{head}is being stopped. {again} waits no longer."
    return f"{head}is running. {again} stops it."


def stop_job(client: Client, job: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a Ctrl-C that counts does with the job that was submitted; the job, None if there is
    none. One that runs is left alone where nobody could be told: where standard error is no
    terminal. Raises Stop.

    `job` is None where its submission was interrupted: then nobody knows of it, and it is stopped.
    """
    is_known = job is not None
    job = job or client.submitted()
    if job is None:
        return None
    job = client.get(job["id"])
    if is_over(job) or job.get("cancel_requested_at"):
        return job
    if job["state"] == "queued" or sys.stderr.isatty() or not is_known:
        try:
            job = client.cancel(job["id"])
        except Stop as stop:
            if stop.status != REFUSED:
                raise
            job = client.get(job["id"])  # it has ended meanwhile
    return job


def say_what_became(job: dict[str, Any]) -> None:
    """Of a job that is not waited for any longer."""
    number = str(job["id"])
    see = f"to see it: {as_typed('--attach', number)}"
    if job["state"] == "cancelled":
        warn(f"Job {number} is cancelled.")
    elif job.get("cancel_requested_at"):
        warn(f"Job {number} is told to stop; {see}")
    else:
        doing = "is running" if job["state"] == "running" else "waits"
        stop = f"to stop it: {as_typed('--cancel', number)}"
        warn(f"Job {number} {doing}, and goes on; {see}\n{stop[0].upper()}{stop[1:]}")
