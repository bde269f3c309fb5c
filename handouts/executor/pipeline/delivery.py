"""Sending what has to arrive, as often as it takes."""

from __future__ import annotations

import json
import time
from typing import Any

from handouts.client.answer import Answer, is_retryable
from handouts.client.errors import Unreachable, Untrusted
from handouts.client.retries import delays
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import TROUBLE_LOG, say
from handouts.executor.pipeline.shutdown import Shutdown

FINAL_FROM_OTHERS = (400, 403, 405, 411, 413, 414, 415, 431)  # that the same request gets again
TRIES_WITH_OTHERS = 3  # a proxy may just be set up


def not_ours(status: int, body: Any) -> Answer:
    """What stands for an answer that somebody between here and the queue gave, for good."""
    size = len(body) if isinstance(body, bytes) else len(json.dumps(body))
    detail = f"something between here and the queue, such as a proxy, answers {status}"
    if status == 413:
        detail += f": let it pass bodies of {size} bytes (nginx: client_max_body_size)"
    return Answer(status, {}, {"detail": detail + "."}, is_from_others=True)


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
        refused = 0  # so often in a row by somebody else, such as a proxy
        for delay in delays():
            pause = delay
            try:
                answer = connection.request(method, path, body, headers)
                if not is_retryable(answer):
                    return self._final(answer, attempt_id, what)
                TROUBLE_LOG.retrying(answer.detail)
                pause, refused = max(delay, answer.retry_after), 0
            except (Unreachable, Untrusted) as error:
                TROUBLE_LOG.retrying(error)
                status = getattr(error, "status", 0)
                refused = refused + 1 if status in FINAL_FROM_OTHERS else 0
                if refused >= TRIES_WITH_OTHERS:
                    return self._final(not_ours(status, body), attempt_id, what)
            is_late = time.monotonic() + pause > deadline
            if is_late or self.is_over or self._shutdown.hurry.wait(pause):
                return None
        raise AssertionError("delays() never ends")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent: what is left is kept for the next start."""
        return self._shutdown.is_refused or self._shutdown.hurry.is_set()

    def _final(self, answer: Answer, attempt_id: int, what: str) -> Answer | None:
        if answer.refuses_token:
            self._shutdown.refused(answer)
            return None
        if answer.status >= 400:
            say(f"Attempt {attempt_id}: the queue does not take its {what}: {answer.detail}")
        return answer
