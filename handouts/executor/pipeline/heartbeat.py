"""Heartbeats: renewing the leases of all jobs in hand."""

from __future__ import annotations

import threading
import time

from handouts.client.errors import Unreachable, Untrusted
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.pipeline.attempt import Attempt, JobsInHand
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.room import Room
from handouts.executor.pipeline.shutdown import Shutdown

PHASE_SECONDS = 0.05  # how long a job must be in a phase before that is reported
IDLE_BEAT_SECONDS = 30.0  # as the lease of a job, while there is none
CANCEL_SECONDS = 2.0  # after which a job that its student stops knows of it


class Heartbeat:
    """One thread for all jobs: at every change, and so often that a lease has time for three, and
    nobody waits long for a job to stop."""

    def __init__(self, host: Host, in_hand: JobsInHand, shutdown: Shutdown, room: Room) -> None:
        self._host = host
        self._in_hand = in_hand
        self._shutdown = shutdown
        self._room = room
        self._gpus_changed = False  # and the queue has to be sent their state
        self._connection = HeldConnection(host.auth)
        self._beat_now = threading.Event()
        self._is_over = False

    def notify(self) -> None:
        """Something changed: the next heartbeats are sent at once."""
        self._beat_now.set()

    def report_gpus(self) -> None:
        """The queue is sent the state of the GPUs at once."""
        self._gpus_changed = True
        self.notify()

    def end(self) -> None:
        """No more heartbeats; `run` returns."""
        self._is_over = True
        self._beat_now.set()

    def run(self) -> None:
        """Until `end` is called."""
        while not self._is_over:
            attempts = self._in_hand.all()
            for attempt in attempts:
                if attempt.give_up_if_stuck():
                    say(f"Job {attempt.job_id}: stuck; its slot is killed.")
                if not self._is_over and not attempt.lost:
                    self._renew(attempt)
            if any(attempt.stop_reason for attempt in attempts):
                self._shutdown.on_stopped()  # one may wait for a worker, which may take minutes
            if self._gpus_changed or not self._room.can_run:
                self._report_gpus()
            pauses = [min(one.lease_seconds / 3, CANCEL_SECONDS) for one in attempts]
            if self._beat_now.wait(min(pauses, default=IDLE_BEAT_SECONDS / 3)):
                time.sleep(PHASE_SECONDS)  # a short program is over before anyone could see it run
            self._beat_now.clear()
        self._connection.close()

    def _renew(self, attempt: Attempt) -> None:
        body = {"lease_token": attempt.lease_token, "phase": attempt.phase}
        path = f"/attempts/{attempt.id}/heartbeat"
        try:
            answer = self._connection.request("POST", path, body, timeout=attempt.lease_seconds / 3)
        except (Unreachable, Untrusted) as error:
            TROUBLE_LOG.retrying(error)
            return
        if answer.refuses_token:
            self._shutdown.refused(answer)
        elif answer.status in (404, 409):
            if self._in_hand.has(attempt):  # not one whose result was just taken
                attempt.stop(f"the queue took the job away: {answer.detail}", lost=True)
                self._room.update()
        elif answer.status == 200 and answer.body.get("cancel_requested"):
            attempt.stop("it was cancelled")
            self._room.update()
        elif answer.status == 200 and attempt.live is not None:
            attempt.live.watch(answer.body.get("watched"))

    def _report_gpus(self) -> None:
        """A claim reports them too, but none is made while no GPU works."""
        self._gpus_changed = False
        try:
            answer = self._connection.request("PUT", "/executor", self._host.about(), timeout=10)
        except (Unreachable, Untrusted) as error:
            TROUBLE_LOG.retrying(error)
            self._gpus_changed = True
            return
        if answer.status == 401:
            self._shutdown.refused(answer)
