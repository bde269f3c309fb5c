"""A job's events, as the queue streams them (server-sent events: the HTML standard, 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable
from handouts.submit.streams import StreamingQueue

OPEN_SECONDS = 10.0  # a stream begins at once
SILENCE_SECONDS = 40.0  # and says something at least every 15 seconds


class Events:
    """One job's events, over as many connections as it takes."""

    def __init__(self, queue: StreamingQueue, job_id: int) -> None:
        self._queue = queue
        self._path = f"/jobs/{job_id}/events"
        self._last_id = ""
        self._lines: Iterator[bytes] = iter(())
        self.is_stream = False  # whether the latest answer is one
        self.came = False  # whether it had an event

    def open(self) -> Answer:
        """Asks for those that are not known yet. Raises Unreachable.

        Where nothing comes, something on the way keeps it back until its end: that is no stream.
        """
        self.is_stream = self.came = False
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            answer, self._lines = self._queue.stream(self._path, headers, OPEN_SECONDS)
        except Unreachable as error:
            if error.timed_out:
                return Answer(200, {}, {})
            raise
        self.is_stream = answer.is_stream
        return answer

    def read(self) -> Iterator[dict[str, Any]]:
        """The job as each event shows it, until the stream ends. Raises Unreachable."""
        fields: dict[str, str] = {}
        self._queue.be_patient(SILENCE_SECONDS)
        for line in self._lines:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                fields[name] = value[1:] if value.startswith(" ") else value
                continue
            event, fields = fields, {}
            if event.get("event") == "job":
                job = self._job(event.get("data", ""))
                self.came, self._last_id = True, event.get("id", "")
                yield job

    def _job(self, data: str) -> dict[str, Any]:
        try:
            job = json.loads(data)
        except (ValueError, RecursionError):
            job = None
        if not isinstance(job, dict) or not {"id", "state"} <= set(job):
            self._queue.close()
            raise Unreachable(f"{self._queue.server} answers, but not as a Telerun queue does.")
        return job
