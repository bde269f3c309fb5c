"""Ctrl-C while a job is on its way: what the first one says, and what comes of the second."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from handouts.submit.as_typed import as_typed
from handouts.submit.job_client import Client
from handouts.submit.job_lines import is_over, wanted_place
from handouts.submit.notices import tell
from handouts.submit.stop import REFUSED, Stop
from handouts.submit.terminals import cut
from handouts.submit.waiting_line import KEY_COLUMNS

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
        is_first, self._said_at = self._said_at < 0, now
        job, screen = self._client.job or {}, self._client.screen
        words = first_words(job)
        screen.say_for(SECOND_SECONDS, lambda columns: in_columns(words, columns), words)
        if is_first:
            screen.warn(how_to_leave(job))


def first_words(job: dict[str, Any]) -> str:
    """What the first Ctrl-C says."""
    again = f"Ctrl-C again within {SECOND_SECONDS:.0f} s"
    ends = "takes it out" if job.get("state") == "queued" else "stops it"
    if job.get("cancel_requested_at"):
        ends = "waits no longer"
    return f"Job {job.get('id')} {what_it_does(job)}. {again} {ends}."


def in_columns(words: str, columns: int) -> str:
    """The two sentences, or the second one, where a terminal has no room for both."""
    room = columns - KEY_COLUMNS - 1
    return words if len(words) <= room else cut(words.partition(". ")[2], room)


def how_to_leave(job: dict[str, Any]) -> str:
    """What becomes of the job of somebody who does not wait for it."""
    number = job.get("id")
    return (
        f"Without a second Ctrl-C job {number} goes on, also when you close this terminal; "
        f"--attach {number} shows it again."
    )


def what_it_does(job: dict[str, Any]) -> str:
    """A job that is not over, to come after its number."""
    if job.get("cancel_requested_at"):
        return "is being stopped"
    if job.get("state") == "queued":
        return "waits in the queue"
    phases = {"compiling": "is being compiled", "waiting": f"waits for {wanted_place(job)}"}
    return phases.get(str(job.get("phase")), "is running")


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
        tell(f"Job {number} is cancelled.")
    elif job.get("cancel_requested_at"):
        tell(f"Job {number} is told to stop; {see}")
    else:
        stop = f"to stop it: {as_typed('--cancel', number)}"
        doing = "waits" if job["state"] == "queued" else what_it_does(job)
        tell(f"Job {number} {doing}, and goes on; {see}\n{stop[0].upper()}{stop[1:]}")
