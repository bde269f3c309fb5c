"""A stub executor that feeds live output, and students who watch, over real connections."""

import contextlib
import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.events import Shown, events
from tests.support.processes import World

PATIENCE_SECONDS = 60


class Ports:
    """The servers of a queue, of which some may be down at the moment."""

    def __init__(self, world: World, ports: list[int]) -> None:
        self._context = ssl.create_default_context(cafile=str(world.data / "server.cert"))
        self._ports = ports

    def connection(self, place: int) -> http.client.HTTPSConnection:
        port = self._ports[place % len(self._ports)]
        return http.client.HTTPSConnection("localhost", port, timeout=20, context=self._context)

    def ask(self, auth: Path, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON, from whichever server answers; asked again until one does."""
        deadline, place = time.monotonic() + PATIENCE_SECONDS, 0
        while True:
            with contextlib.closing(self.connection(place)) as connection:
                try:
                    data = None if body is None else json.dumps(body)
                    connection.request(method, f"/api/v1{path}", data, {**_head(auth), **headers})
                    answer = connection.getresponse()
                    content = answer.read()
                    if answer.status != 503:
                        assert answer.status < 400, content
                        return json.loads(content) if content else None
                except (OSError, http.client.HTTPException):
                    pass
            assert time.monotonic() < deadline, "no server answers"
            place += 1
            time.sleep(0.05)


def _head(auth: Path) -> dict[str, str]:
    token = json.loads(auth.read_text())["token"]
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


class StubExecutor:
    """Claims a job and sends output of it as it likes; what was not answered is sent again."""

    def __init__(self, ports: Ports, auth: Path) -> None:
        self._ports, self._auth = ports, auth
        self.attempt = ports.ask(auth, "POST", "/claims", {})["attempt"]

    def feed(self, offset: int, content: bytes, log: str = "execute") -> bool:
        text = content.decode("utf-8", "surrogateescape")
        return self._report("POST", "output", log=log, offset=offset, text=text)["watched"]

    def finish(self, **members: Any) -> None:
        self._report("PUT", "result", **{"outcome": "succeeded", **members})

    def _report(self, method: str, what: str, **members: Any) -> Any:
        body = {"lease_token": self.attempt["lease_token"], **members}
        return self._ports.ask(self._auth, method, f"/attempts/{self.attempt['id']}/{what}", body)


class Watcher(threading.Thread):
    """Reads a job's stream to its end, from one server or another, wherever it is cut off."""

    def __init__(
        self, ports: Ports, auth: Path, job_id: int, is_cut: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_cut` says, after an event, whether it hangs up; then it goes on."""
        super().__init__(daemon=True)
        self._ports, self._auth, self._path = ports, auth, f"/api/v1/jobs/{job_id}/events"
        self._is_cut = is_cut
        self.shown = Shown()
        self.state = ""
        self.last_id = ""
        self.streams = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        deadline = time.monotonic() + 2 * PATIENCE_SECONDS
        try:
            while self.state not in ("finished", "cancelled", "failed"):
                assert time.monotonic() < deadline, "the stream does not end"
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._read()
                time.sleep(0.02)
        except BaseException as error:
            self.error = error

    def _read(self) -> None:
        self.streams += 1
        with contextlib.closing(self._ports.connection(self.streams)) as connection:
            head = {**_head(self._auth), "Last-Event-ID": self.last_id}
            connection.request("GET", self._path, headers=head)
            answer = connection.getresponse()
            if answer.status != 200:
                return
            for event in events(_lines(answer)):
                self.last_id = event.id
                if event.kind == "output":
                    self.shown.add(event.data)
                else:
                    self.state = event.data["state"]
                if self._is_cut():
                    return

    def result(self) -> Shown:
        """Once its job is over."""
        self.join(2 * PATIENCE_SECONDS)
        if self.error:
            raise self.error
        assert self.state == "finished"
        return self.shown


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Whole ones: what is cut off by the end of a connection is told again."""
    while (line := answer.readline()).endswith(b"\n"):
        yield line


def pieces(rng: random.Random, text: bytes, most: int) -> Iterator[tuple[int, bytes]]:
    """The text in random pieces, with their offsets; some begin before the last one's end."""
    done = 0
    while done < len(text):
        stop = min(len(text), done + rng.randint(1, most))
        start = max(0, done - rng.choice((0, 0, 0, 1, most)))
        yield start, text[start:stop]
        done = stop
