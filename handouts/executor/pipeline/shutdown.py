"""When and why the executor stops."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from handouts.client.answer import Answer
from handouts.executor.base.exit_statuses import REFUSED, STOPPED, WRONG_USAGE
from handouts.executor.base.say import say
from handouts.executor.base.threads import start
from handouts.executor.machine.driver_tools import HANGING
from handouts.executor.pipeline.attempt import JobsInHand
from handouts.executor.pipeline.room import Room


def margin(seconds: float) -> float:
    """How much of the time to stop is kept for killing what runs and giving it back."""
    return min(5.0, seconds / 2)


class Shutdown:
    """Asked by a signal, by the queue that refuses this executor, or by a host that is unfit."""

    def __init__(self, in_hand: JobsInHand, room: Room, drain_seconds: float | None = None) -> None:
        """`drain_seconds`: how long after the first signal all must be over; None for as long as
        the jobs in hand take."""
        self._in_hand = in_hand
        self._room = room
        self._drain_seconds = drain_seconds
        # Called when jobs were stopped that no worker has: they are given back at once.
        self.on_stopped: Callable[[], Any] = lambda: None
        self.draining = threading.Event()  # no more jobs are claimed
        self.hurry = threading.Event()  # do not wait for a queue that is away
        self.exit_status = STOPPED

    @property
    def is_refused(self) -> bool:
        """Whether the queue refuses this executor."""
        return self.exit_status == REFUSED

    def on_signal(self, _number: int, _frame: Any) -> None:
        """The first one: take no more jobs, and finish those that can be in the time there is. A
        second one: give back those in hand."""
        # In a thread: a handler must not wait for a lock that the main thread may hold.
        is_first = not self.draining.is_set()
        self.draining.set()
        start(self._drain_in_time if is_first else self._give_back, "stop")

    def drain(self, why: str = "Stopping: no more jobs; finishing those in hand.") -> None:
        """Claims no more jobs."""
        self.draining.set()
        say(why)
        self._room.close()

    def _drain_in_time(self) -> None:
        """The host goes away soon: of Slurm's and spot machines' warnings the time is known."""
        if self._drain_seconds is None:
            self.drain()
            return
        over_at = time.monotonic() + self._drain_seconds
        ends_at = over_at - margin(self._drain_seconds)
        self.drain(
            f"Stopping within {self._drain_seconds:g} s: no more jobs; giving back those in hand "
            "that cannot be over by then."
        )
        self._give_back_late(ends_at)
        time.sleep(max(0.0, ends_at - time.monotonic()))  # or until the process ends
        self._give_back()
        time.sleep(max(0.0, over_at - time.monotonic()))
        # What hangs, such as nvidia-smi or the queue, is not waited for. Programs die with this
        # process, and the next start sends what is in the spool.
        say("Stopping at once: the time is over.")
        HANGING.kill_all()
        os._exit(self.exit_status)

    def _give_back_late(self, ends_at: float) -> None:
        """What has not begun to run, and may not end in time. What runs may well end before its
        limit."""
        attempts = self._in_hand.all()
        running = [attempt.longest() for attempt in attempts if attempt.phase == "executing"]
        for attempt in attempts:
            longest = max(running, default=0.0) + attempt.longest()
            if attempt.phase != "executing" and time.monotonic() + longest > ends_at:
                attempt.stop("its executor was about to stop", counts=False)
        self.on_stopped()

    def refused(self, answer: Answer) -> None:
        """The queue refuses this executor: what runs is stopped, and the reason said, once."""
        if self.exit_status == STOPPED:
            self.exit_status = REFUSED
            say(f"The queue refuses this executor: {answer.detail}")
            self.drain(
                "Stopping: the jobs in hand are given up; results are kept for the next start."
            )
            self._stop_all("the executor was refused", lost=True)

    def unfit(self, why: str) -> None:
        """This host can run no programs: it claims no more jobs and ends as one set up wrong."""
        if self.exit_status == STOPPED:
            self.exit_status = WRONG_USAGE
            say(why)
            self.drain("Stopping: this host runs no programs until that is mended.")

    def _give_back(self) -> None:
        say("Stopping now: giving jobs back.")
        self.hurry.set()
        self._stop_all("the executor was stopped", counts=False)
        self.on_stopped()

    def _stop_all(self, reason: str, lost: bool = False, counts: bool = True) -> None:
        for attempt in self._in_hand.all():
            attempt.stop(reason, lost, counts)
