"""Which other job of the student's keeps a waiting one waiting: such as one that Ctrl-C left."""

from __future__ import annotations

import time
from typing import Any

from handouts.client.errors import Unreachable, Untrusted
from handouts.submit.as_typed import as_typed
from handouts.submit.job_client import Client
from handouts.submit.notices import is_quiet
from handouts.submit.own_jobs import jobs_in
from handouts.submit.printable import printable

AHEAD_SECONDS = 3.0  # of waiting, after which it is asked for; most jobs never wait so long
ANSWER_SECONDS = 3.0


class OwnJobAhead:
    """Asks once, on a connection of its own, since the job's is being read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ask_at = time.monotonic() + AHEAD_SECONDS
        client.turns.add(self._look)

    def _look(self) -> None:
        job = self._client.job
        if time.monotonic() < self._ask_at or job is None or not waits_for_others(job):
            return
        self._ask_at = float("inf")
        queue = self._client.queue.another()
        try:
            answer = queue.request("GET", "/jobs?limit=10", timeout=ANSWER_SECONDS)
        except (Unreachable, Untrusted):
            return
        finally:
            queue.close()
        ahead = [one for one in jobs_in(answer.body) if one["state"] == "running"]
        ahead = [one for one in ahead if one["id"] < job["id"]]
        if ahead and not is_quiet():
            number, name = ahead[-1]["id"], printable(str(ahead[-1].get("filename")))
            self._client.screen.warn(
                f"Your job {number} ({name}) still runs, and this one may wait for it. "
                f"To stop it: {as_typed('--cancel', str(number))}"
            )


def waits_for_others(job: dict[str, Any]) -> bool:
    """Whether a host is there that could run it, and others come first."""
    is_next = job["state"] == "queued" and job.get("waiting_for") == "turn"
    return is_next or job.get("phase") == "waiting"
