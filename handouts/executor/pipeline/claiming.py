"""Claiming: asking the queue for the next job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable, Untrusted
from handouts.client.retries import delays
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.machine.platforms import CUDA
from handouts.executor.pipeline.attempt import Attempt, JobsInHand
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.held_claims import Claim
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.live_senders import LiveSenders
from handouts.executor.pipeline.room import Room
from handouts.executor.pipeline.shutdown import Shutdown

WAIT_SECONDS = 25  # how long a claim is held open at the queue
FULL_DISK_SECONDS = 5  # by how much longer the pause is on a disk without room
QUEUE_IS_OLDER = (
    "The queue is older than this executor and has only jobs for GPUs, which this host does not "
    "run: update the queue."
)


class Claimer:
    """Makes claims, for several compile workers at once."""

    def __init__(
        self,
        host: Host,
        in_hand: JobsInHand,
        room: Room,
        shutdown: Shutdown,
        heartbeat: Heartbeat,
        senders: LiveSenders,
    ) -> None:
        self._host = host
        self._senders = senders
        self._in_hand = in_hand
        self._room = room
        self._shutdown = shutdown
        self._heartbeat = heartbeat
        self._looked = False  # whether the queue knows platforms, where that must be known first

    def claim(self, connection: HeldConnection) -> Attempt | None:
        """Asks until there is an answer, with one key, so that no job can be lost on its way.

        None if there is no job now, or none is wanted any more.
        """
        claim, pauses = Claim(connection), delays(maximum=30.0)
        try:
            while not self._shutdown.draining.is_set():
                self._room.wait(claim)
                if not self._host.has_room_for_a_job():
                    self._shutdown.draining.wait(next(pauses) + FULL_DISK_SECONDS)
                    continue
                if not self._may_claim(connection):
                    continue
                answer = self._ask(claim, connection, pauses)
                if answer is None:
                    continue
                if answer.status in (201, 204):
                    TROUBLE_LOG.over()
                    return self._take(claim, answer) if answer.status == 201 else None
                if answer.refuses_token or answer.problem == "wrong-token-kind":
                    self._shutdown.refused(answer)
                    return None
                TROUBLE_LOG.say(f"The queue gives no jobs: {answer.detail}")
                self._shutdown.draining.wait(max(next(pauses), answer.retry_after))
            return None
        finally:
            self._room.end(claim)

    def _may_claim(self, connection: HeldConnection) -> bool:
        """A host without GPUs looks first whether the queue knows platforms: one that does not
        would give it a job for a GPU, and count that as a try. Looks once, and goes on if the
        queue does not say."""
        if self._looked or self._serves(CUDA):
            return True
        try:
            connection.pick_up()
            answer = connection.request("GET", "/schema")
        except (Unreachable, Untrusted):  # the claim says so, and waits
            return True
        self._looked = answer.status < 500
        if answer.status == 200 and not mentions_platforms(answer.body):
            self._shutdown.unfit(QUEUE_IS_OLDER)
            return False
        return True

    def _ask(
        self, claim: Claim, connection: HeldConnection, pauses: Iterator[float]
    ) -> Answer | None:
        """One request; None if there was no answer, after a pause if that was trouble."""
        free = self._room.begin(claim)
        if not free:
            return None
        body = self._host.about()
        if self._room.knows_platforms:  # an older one would keep each of them
            body["platforms"] = free
        headers = {"Prefer": f"wait={WAIT_SECONDS}", "Idempotency-Key": claim.key}
        try:
            return connection.request("POST", "/claims", body, headers, WAIT_SECONDS + 15)
        except (Unreachable, Untrusted) as error:
            if not (claim.was_hung_up or self._shutdown.draining.is_set()):
                TROUBLE_LOG.retrying(error)
                self._room.knows_platforms = True  # perhaps it is away to be updated
                self._shutdown.draining.wait(next(pauses))
            return None
        finally:
            self._room.over(claim)

    def _take(self, claim: Claim, answer: Answer) -> Attempt | None:
        try:
            attempt = Attempt(answer.body, self._host.jobs)
        except (KeyError, TypeError, ValueError) as error:
            say(f"The queue sent a job that this executor does not understand ({error!r}).")
            return None
        say(f"Job {attempt.job_id}: claimed (attempt {attempt.id}).")
        self._senders.open(attempt, answer.body.get("stream"))
        knows_platforms = "platform" in answer.body["job"]
        self._look_at_queue(knows_platforms)
        self._in_hand.add(attempt)
        self._room.add(claim, attempt, knows_platforms)
        if not self._serves(attempt.platform):
            why = f"it is for {attempt.platform!a}, which this host does not offer"
            if knows_platforms:
                say(f"Job {attempt.job_id}: {why}; giving it back. That is a fault of the queue.")
            attempt.stop(why)
        self._heartbeat.notify()
        return attempt

    def _serves(self, platform: str) -> bool:
        return any(platform in worker.platforms for worker in self._room.workers)

    def _look_at_queue(self, knows_platforms: bool) -> None:
        """A queue that is older gives every host any job, and those are for GPUs."""
        if knows_platforms or not self._room.knows_platforms:
            return
        others = {name for worker in self._room.workers for name in worker.platforms} - {CUDA}
        if not self._serves(CUDA):
            self._shutdown.unfit(QUEUE_IS_OLDER)
        elif others:
            say("The queue is older than this executor: it has no jobs for one platform alone.")


def mentions_platforms(document: Any) -> bool:
    """Whether the API's document, as a queue serves it, has jobs that name a platform. True as well
    for what is no such document."""
    try:
        schemas = document["components"]["schemas"]
        return "platform" in schemas["ClaimedJob"]["properties"]
    except (KeyError, TypeError):
        return True
