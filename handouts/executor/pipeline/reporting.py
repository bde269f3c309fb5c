"""Reporting: results, and jobs that are given back."""

from __future__ import annotations

import shutil
import threading
from typing import Any

from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import say
from handouts.executor.base.threads import join, start
from handouts.executor.pipeline.attempt import Attempt, JobsInHand
from handouts.executor.pipeline.delivery import Delivery
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.outbox import Outbox
from handouts.executor.pipeline.sending import ResultSender, shorter_and_shorter
from handouts.executor.results.spool import Spool

SENDERS = 4  # at once, however many GPUs there are


class Reporter:
    """Where attempts end. A result is on disk before it is sent."""

    def __init__(self, host: Host, spool: Spool, in_hand: JobsInHand, delivery: Delivery) -> None:
        self._auth = host.auth
        self._spool = spool
        self._in_hand = in_hand
        self._delivery = delivery
        self._sender = ResultSender(spool, delivery)
        self._outbox = Outbox(spool.left_over())
        self._releases: list[threading.Thread] = []

    def done(self, attempt: Attempt) -> None:
        """The attempt is over here: its result goes to the spool, or the job back to the queue."""
        attempt.close_live()
        shutil.rmtree(str(attempt.folder), ignore_errors=True)
        if not attempt.stop_reason and self._keep(attempt):
            return  # heartbeats go on until the result is sent
        self._spool.drop(attempt.id)
        say(f"Job {attempt.job_id}: given up: {attempt.stop_reason}.")
        if not attempt.lost:
            self._releases.append(start(self._release, "release", attempt))
        else:
            self._in_hand.forget(attempt.id)

    def _keep(self, attempt: Attempt) -> bool:
        report = {"lease_token": attempt.lease_token, **attempt.report}
        try:
            path = self._spool.put(attempt.id, report, attempt.files)
        except OSError as error:
            attempt.stop(f"the host could not keep its result: {error.strerror}")
            return False
        say(f"Job {attempt.job_id}: {attempt.report['outcome']}.")
        self._outbox.put(path)
        return True

    def _release(self, attempt: Attempt) -> None:
        body: dict[str, Any] = {"lease_token": attempt.lease_token}
        body["reason"] = attempt.stop_reason[:500]
        if not attempt.counts:
            body["counts"] = False
        with_logs = {**body, **attempt.logs()} if attempt.may_send_logs else body
        connection = HeldConnection(self._auth)
        for version in [*shorter_and_shorter(with_logs), body]:
            # After the lease has expired the queue takes the job back by itself.
            answer = self._delivery.deliver(
                connection, "POST", attempt.id, "release", version, patience=attempt.lease_seconds
            )
            if answer is None or answer.status != 413:
                break
        connection.close()
        self._in_hand.forget(attempt.id)

    def start_senders(self) -> list[threading.Thread]:
        """Threads that send what is in the spool until `end`, however long the queue is away.

        Several, so that a result with many files, or one that does not get through, keeps no other
        waiting.
        """
        return [start(self._send_results, f"results-{number}") for number in range(SENDERS)]

    def _send_results(self) -> None:
        connection = HeldConnection(self._auth)
        for path in iter(self._outbox.take, None):
            content = self._spool.read(path)
            if content is None:
                say(f"{path} is not a whole result and is left out.")
                path.replace(path.with_suffix(".bad"))
            elif self._sender.send(connection, content):
                self._in_hand.forget(content["attempt"])
            else:  # others have their turn
                self._outbox.put(path)
        connection.close()

    def end(self, senders: list[threading.Thread]) -> None:
        """Returns when all is sent. `senders`: the threads of `start_senders`."""
        self._outbox.close()
        join(senders)
        join(self._releases)
