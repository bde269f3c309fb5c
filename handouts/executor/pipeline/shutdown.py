"""When and why the executor stops."""

from __future__ import annotations

import threading
from typing import Any

from handouts.client.answer import Answer
from handouts.executor.base.exit_statuses import REFUSED, STOPPED, WRONG_USAGE
from handouts.executor.base.say import say
from handouts.executor.base.threads import start
from handouts.executor.pipeline.attempt import JobsInHand
from handouts.executor.pipeline.room import Room


class Shutdown:
    """Asked by a signal, by the queue that refuses this executor, or by a host that is unfit."""

    def __init__(self, in_hand: JobsInHand, room: Room) -> None:
        self._in_hand = in_hand
        self._room = room
        self.draining = threading.Event()  # no more jobs are claimed
        self.hurry = threading.Event()  # do not wait for a queue that is away
        self.exit_status = STOPPED

    @property
    def is_refused(self) -> bool:
        """Whether the queue refuses this executor."""
        return self.exit_status == REFUSED

    def on_signal(self, _number: int, _frame: Any) -> None:
        """The first one: take no more jobs. A second one: give back those in hand."""
        # In a thread: a handler must not wait for a lock that the main thread may hold.
        is_first = not self.draining.is_set()
        self.draining.set()
        start(self.drain if is_first else self._give_back, "stop")

    def drain(self, why: str = "Stopping: no more jobs; finishing those in hand.") -> None:
        """Claims no more jobs."""
        self.draining.set()
        say(why)
        self._room.close()

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

    def _stop_all(self, reason: str, lost: bool = False, counts: bool = True) -> None:
        for attempt in self._in_hand.all():
            attempt.stop(reason, lost, counts)
