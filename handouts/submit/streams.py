"""Answers that go on while something happens."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

from handouts.client.answer import Answer
from handouts.client.connection import LOST, Queue

MAX_LINE_BYTES = 16 << 20  # none is longer


class StreamingQueue(Queue):
    """The queue, of which streams can be asked too."""

    def stream(
        self, path: str, headers: dict[str, str], timeout: float
    ) -> tuple[Answer, Iterator[bytes]]:
        """Begins to read an answer that goes on: its lines, as they come, until it ends.

        An answer that is no stream is whole, and has no lines. While its lines are read nothing
        else may be asked. Silence for `timeout` seconds, as all else that breaks it, raises
        Unreachable; while the lines are read, for as long as `be_patient` says.
        """
        headers = {"Accept": "text/event-stream", **headers}
        response = self._over_a_new_one_too(lambda: self._ask("GET", path, None, headers, timeout))
        names = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, names, {})
        if answer.is_stream:
            return answer, self._lines(response)
        return self._answer(response), iter(())

    def be_patient(self, seconds: float) -> None:
        """How long the rest of a stream may be silent."""
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while True:
                line = response.readline(MAX_LINE_BYTES)
                if not line:
                    break
                yield line
        except LOST as error:
            raise self._lost(error) from None
        self._has_ended(response)
