"""Claiming: asking the queue for the next job."""

from __future__ import annotations

import uuid

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable, Untrusted
from handouts.client.retries import delays
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.pipeline.attempt import Attempt, JobsInHand
from handouts.executor.pipeline.gpu_status import GpuStatus
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.held_claims import HeldClaims
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.shutdown import Shutdown

WAIT_SECONDS = 25  # how long a claim is held open at the queue
FULL_DISK_SECONDS = 5  # by how much longer the pause is on a disk without room


class Claimer:
    """Makes claims, for several compile workers at once."""

    def __init__(
        self,
        host: Host,
        in_hand: JobsInHand,
        claims: HeldClaims,
        shutdown: Shutdown,
        gpu_status: GpuStatus,
        heartbeat: Heartbeat,
    ) -> None:
        self._host = host
        self._in_hand = in_hand
        self._claims = claims
        self._shutdown = shutdown
        self._gpu_status = gpu_status
        self._heartbeat = heartbeat

    def claim(self, connection: HeldConnection) -> Attempt | None:
        """Asks until there is an answer, with one key, so that no job can be lost on its way.

        None if there is no job now, or none is wanted any more.
        """
        headers = {"Prefer": f"wait={WAIT_SECONDS}", "Idempotency-Key": str(uuid.uuid4())}
        for delay in delays(maximum=30.0):
            if self._shutdown.draining.is_set():
                return None
            if not self._is_fit(delay):
                continue
            answer = self._ask(connection, headers, delay)
            if answer is None:
                continue
            if answer.status in (201, 204):
                TROUBLE_LOG.over()
                return self._take(answer) if answer.status == 201 else None
            if answer.refuses_token or answer.problem == "wrong-token-kind":
                self._shutdown.refused(answer)
                return None
            TROUBLE_LOG.say(f"The queue gives no jobs: {answer.detail}")
            self._shutdown.draining.wait(max(delay, answer.retry_after))
        raise AssertionError("delays() never ends")

    def _is_fit(self, delay: float) -> bool:
        """Whether this host can take a job; if not, waits a little."""
        if not self._host.has_room_for_a_job():
            self._shutdown.draining.wait(delay + FULL_DISK_SECONDS)
            return False
        return self._gpu_status.can_run.is_set() or self._gpu_status.can_run.wait(1)

    def _ask(
        self, connection: HeldConnection, headers: dict[str, str], delay: float
    ) -> Answer | None:
        """One request; None, after a pause, if there was no answer."""
        about = self._host.about()
        try:
            with self._claims.holding(connection):
                if self._is_unwanted():  # since it was asked last; now `hang_up` ends it
                    return None
                return connection.request("POST", "/claims", about, headers, WAIT_SECONDS + 15)
        except (Unreachable, Untrusted) as error:
            if not self._is_unwanted():
                TROUBLE_LOG.retrying(error)
                self._shutdown.draining.wait(delay)
            return None

    def _is_unwanted(self) -> bool:
        return self._shutdown.draining.is_set() or not self._gpu_status.can_run.is_set()

    def _take(self, answer: Answer) -> Attempt | None:
        try:
            attempt = Attempt(answer.body, self._host.jobs)
        except (KeyError, TypeError, ValueError) as error:
            say(f"The queue sent a job that this executor does not understand ({error!r}).")
            return None
        say(f"Job {attempt.job_id}: claimed (attempt {attempt.id}).")
        self._in_hand.add(attempt)
        self._heartbeat.notify()
        return attempt
