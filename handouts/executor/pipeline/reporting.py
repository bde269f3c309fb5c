"""Reporting: results, and jobs that are given back."""

from __future__ import annotations

import queue
import shutil
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import say
from handouts.executor.base.threads import join, start
from handouts.executor.pipeline.attempt import Attempt, JobsInHand
from handouts.executor.pipeline.delivery import Delivery
from handouts.executor.pipeline.host import Host
from handouts.executor.results.spool import Spool


class Reporter:
    """Where attempts end. A result is on disk before it is sent."""

    def __init__(self, host: Host, spool: Spool, in_hand: JobsInHand, delivery: Delivery) -> None:
        self._auth = host.auth
        self._spool = spool
        self._in_hand = in_hand
        self._delivery = delivery
        self._outbox: queue.Queue[Path | None] = queue.Queue()
        self._releases: list[threading.Thread] = []
        for path in spool.left_over():
            self._outbox.put(path)

    def done(self, attempt: Attempt) -> None:
        """The attempt is over here: its result goes to the spool, or the job back to the queue."""
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
        # After the lease has expired the queue takes the job back by itself.
        self._delivery.deliver(
            HeldConnection(self._auth),
            "POST",
            attempt.id,
            "release",
            body,
            patience=attempt.lease_seconds,
        )
        self._in_hand.forget(attempt.id)

    def send_results(self) -> None:
        """Sends what is in the spool, in order, however long the queue is away, until `end`."""
        connection = HeldConnection(self._auth)
        for path in iter(self._outbox.get, None):
            content = self._spool.read(path)
            if content is None:
                say(f"{path} is not a whole result and is left out.")
                path.replace(path.with_suffix(".bad"))
                continue
            attempt_id, report = content["attempt"], content["report"]
            if self._send_files(connection, content) and self._delivery.deliver(
                connection, "PUT", attempt_id, "result", report
            ):
                self._spool.drop(attempt_id)
            self._in_hand.forget(attempt_id)
        connection.close()

    def end(self, sender: threading.Thread) -> None:
        """Returns when all is sent. `sender` is the thread of `send_results`."""
        self._outbox.put(None)
        join([sender])
        join(self._releases)

    def _send_files(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result's files, even if that was done before; False if it must be done later."""
        attempt_id = content["attempt"]
        headers = {
            "Telerun-Lease": content["report"]["lease_token"],
            "Content-Type": "application/octet-stream",
        }
        for file in content.get("files", []):
            try:
                data = self._spool.file(attempt_id, file)
            except OSError as error:
                say(f"Attempt {attempt_id}: a file of its result cannot be read: {error.strerror}.")
                continue  # the queue says to its owner that it is missing
            what = "files/" + urllib.parse.quote(file["name"], safe="")
            answer = self._delivery.deliver(connection, "PUT", attempt_id, what, data, headers)
            if answer is None:
                return False
            if answer.status == 409:
                break  # the result will get the same answer
        return True
