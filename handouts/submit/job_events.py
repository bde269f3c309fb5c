"""A job's events, as the queue streams them (server-sent events: the HTML standard, 9.2)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable
from handouts.submit.streams import StreamingQueue

OPEN_SECONDS = 6.0  # a stream begins at once
SILENCE_SECONDS = 16.0  # and says something at least every 15 seconds
PROMISE = "telerun-comment-seconds"  # the header of a queue that does so sooner
LASTED_SECONDS = 1.0  # one that ends sooner is not asked for anew at once
NEEDED: dict[str, set[str]] = {"job": {"id", "state"}, "output": set()}  # members, by event


class Events:
    """One job's events, over as many connections as it takes."""

    def __init__(self, queue: StreamingQueue, job_id: int) -> None:
        self._queue = queue
        self._path = f"/jobs/{job_id}/events"
        self._last_id = ""
        self._lines: Iterator[bytes] = iter(())
        self._opened_at = 0.0
        self.came = False  # whether the latest stream said anything
        self.silence = SILENCE_SECONDS  # after which it is given up

    @property
    def lasted(self) -> bool:
        """Whether the latest stream went on for a while."""
        return self.came and time.monotonic() >= self._opened_at + LASTED_SECONDS

    def open(self) -> Answer:
        """Asks for those that are not known yet; 200 is a stream. Raises Unreachable.

        Where nothing comes, something on the way may keep it back until its end: that is a stream
        that says nothing.
        """
        self.came, self._opened_at, self._lines = False, time.monotonic(), iter(())
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            answer, self._lines = self._queue.stream(self._path, headers, OPEN_SECONDS)
        except Unreachable as error:
            if error.timed_out:
                return Answer(200, {}, {})
            raise
        promised = answer.headers.get(PROMISE, "")
        if promised.isdigit():  # a half more, for a slow network
            self.silence = min(SILENCE_SECONDS, 2 + 1.5 * int(promised))
        return answer

    def read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name and the data of each event, until the stream ends. Raises Unreachable."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not self.came:
                self.came = True
                self._queue.be_patient(self.silence)
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                fields[name] = value[1:] if value.startswith(" ") else value
                continue
            event, fields = fields, {}
            needed = NEEDED.get(event.get("event", ""))
            if needed is not None:
                data = self._parse(event.get("data", ""), needed)
                self._last_id = event.get("id", self._last_id)
                yield event["event"], data

    def _parse(self, data: str, needed: set[str]) -> dict[str, Any]:
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict) or not needed <= set(parsed):
            self._queue.close()
            self.came = False
            raise Unreachable(f"{self._queue.server} answers, but not as a Telerun queue does.")
        return parsed
