"""Answers that go on while something happens, and all others: read in short turns."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from typing import Any

from handouts.client.answer import Answer
from handouts.client.auth import Auth
from handouts.client.connection import LOST, Queue
from handouts.submit.turns import ShortReads, Turns

MAX_LINE_BYTES = 16 << 20  # none is longer


class StreamingQueue(Queue):
    """The queue, of which streams can be asked too."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._auth = auth
        self.who_from = auth.path  # the file that says who this is
        self.turns = Turns()
        self._patience = 0.0

    def another(self) -> StreamingQueue:
        """The same queue, over a connection of its own."""
        return StreamingQueue(self._auth)

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
        self._patience = seconds

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        connection = super()._open(timeout)
        connection.response_class = self._response
        self._patience = timeout
        return connection

    def _response(self, connection: Any, *arguments: Any, **options: Any) -> Any:
        return http.client.HTTPResponse(
            _InTurns(connection, self.turns, lambda: self._patience), *arguments, **options
        )

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


class _InTurns:
    """What http.client makes a response's file from."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(ShortReads(*self._arguments))
