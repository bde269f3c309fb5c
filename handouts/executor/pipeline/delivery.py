"""Sending what has to arrive, as often as it takes."""

from __future__ import annotations

import time
from typing import Any

from handouts.client.answer import Answer, is_retryable
from handouts.client.errors import Unreachable, Untrusted
from handouts.client.retries import delays
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.pipeline.shutdown import Shutdown


class Delivery:
    """Requests about one attempt; all of them are idempotent."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown

    def deliver(
        self,
        connection: HeldConnection,
        method: str,
        attempt_id: int,
        what: str,
        body: Any,
        headers: dict[str, str] | None = None,
        patience: float = float("inf"),
    ) -> Answer | None:
        """The queue's final answer, after which this need not be sent again; None if there is none
        within `patience` seconds, or the executor stops."""
        deadline = time.monotonic() + patience
        path = f"/attempts/{attempt_id}/{what}"
        for delay in delays():
            pause = delay
            try:
                answer = connection.request(method, path, body, headers)
                if not is_retryable(answer):
                    return self._final(answer, attempt_id, what)
                TROUBLE_LOG.retrying(answer.detail)
                pause = max(delay, answer.retry_after)
            except (Unreachable, Untrusted) as error:
                TROUBLE_LOG.retrying(error)
            is_late = time.monotonic() + pause > deadline
            if is_late or self._shutdown.is_refused or self._shutdown.hurry.wait(pause):
                return None
        raise AssertionError("delays() never ends")

    def _final(self, answer: Answer, attempt_id: int, what: str) -> Answer | None:
        if answer.refuses_token:
            self._shutdown.refused(answer)
            return None
        if answer.status >= 400:
            say(f"Attempt {attempt_id}: the queue does not take its {what}: {answer.detail}")
        return answer
