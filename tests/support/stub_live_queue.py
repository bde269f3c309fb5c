"""A stub queue with one job, whose events a test makes up: what they are and where a stream breaks.

It knows what submit.py needs of a queue and no more.
"""

import contextlib
import json
import random
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.processes import World, wait_for

JOB = 7


def text(data: bytes) -> str:
    """How logs stand in JSON."""
    return data.decode("utf-8", "surrogateescape")


def attempt(number: int, executor: str = "gpu1", **more: Any) -> dict[str, Any]:
    """One of a job's attempts; its logs as bytes."""
    logs = {key: text(more.pop(key)) for key in ("compile_log", "execute_log") if key in more}
    ended = {"ending": None, "reason": "", "outcome": None}
    return {"number": number, "executor": executor, **ended, **logs, **more}


class StubLiveQueue:
    """Serves from the world's address, in threads of the test."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.changed = threading.Condition()
        self.job: dict[str, Any] = {
            "id": JOB, "state": "queued", "phase": None, "outcome": None, "executor": None,
            "queue_position": 1, "files": [], "flags": [], "platform": "cuda", "attempts": [],
            "result": None, "waiting_for": "turn",
        }  # fmt: skip
        self.events: list[tuple[str, Any]] = []
        self.offsets = {"compile": 0, "execute": 0}
        self.attempt = 0
        self.asked: list[str] = []  # the Last-Event-ID of each request for events
        self.requests: list[str] = []  # all others
        self.posts_held = threading.Event()  # clear: a submission is taken, and not answered
        self.posts_held.set()
        # What is wrong with its streams.
        self.comment_seconds = 10.0
        self.promises = ""  # how often it sends comments
        self.has_no_events = False  # as an older queue
        self.closes = False  # after each answer, as a server that stops, and says so
        self.keeps_back = False  # as a proxy that waits for the end of an answer
        self.cut_after: list[int] = []  # events, of one stream each
        self.cut_seconds = 0.0  # every stream, after so long
        self.open()

    def open(self) -> None:
        """Listens, again."""
        self._server = StubLiveServer(("127.0.0.1", self._world.port), StubLiveHandler)
        self._server.queue = self
        self._server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        data = self._world.data
        self._server.tls.load_cert_chain(data / "server.cert", data / "server.key")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Nobody listens any more, and every stream breaks."""
        server = self._server
        server.is_closed = True
        with self.changed:
            self.changed.notify_all()
        server.shutdown()
        self._thread.join()
        server.server_close()

    def auth(self, name: str = "alice") -> Path:
        return self._world.auth("username", name, "stub-token")

    # --- For the test ---

    def send(self, name: str, data: Any) -> None:
        """An event."""
        with self.changed:
            self.events.append((name, data))
            self.changed.notify_all()

    def becomes(self, silent: bool = False, **members: Any) -> None:
        """The job changes, and its event says so, unless it is `silent`."""
        self.job = {**self.job, **members}
        if silent:
            return
        without = {k: v for k, v in self.job.items() if k != "result"}
        attempts = [
            {k: v for k, v in each.items() if not k.endswith("_log")}
            for each in self.job["attempts"]
        ]
        self.send("job", {**without, "result": None, "attempts": attempts})

    def runs(self, executor: str = "gpu1", phase: str = "executing") -> None:
        """Its next attempt has begun."""
        ended = [{**each, "ending": each["ending"] or "expired"} for each in self.job["attempts"]]
        self.attempt = len(ended) + 1
        self.offsets = {"compile": 0, "execute": 0}
        self.becomes(state="running", phase=phase, executor=executor, queue_position=None,
                     attempts=[*ended, attempt(self.attempt, executor)])  # fmt: skip

    def prints(self, data: bytes, log: str = "execute", skip: int = 0) -> None:
        """An event with the next bytes of a log, after some that are left out."""
        offset = self.offsets[log] + skip
        self.offsets[log] = offset + len(data)
        self.send_output(offset, data, log)

    def send_output(self, offset: int, data: bytes, log: str = "execute") -> None:
        output = {"attempt": self.attempt, "log": log, "offset": offset, "text": text(data)}
        self.send("output", output)

    def finishes(self, execute_log: bytes = b"", compile_log: bytes = b"", **more: Any) -> None:
        """With this result."""
        result = {"execute_log": text(execute_log), "compile_log": text(compile_log),
                  "exit_code": more.pop("exit_code", 0), "signal": None, "files": [],
                  "compile_seconds": 1.0, "execute_seconds": 2.0}  # fmt: skip
        *before, last = self.job["attempts"]
        last = {**last, "ending": "finished"}
        over = {"state": "finished", "phase": None, "outcome": "succeeded", "result": result}
        self.becomes(**{**over, "attempts": [*before, last], **more})

    def ends(self, state: str, **of_attempt: Any) -> None:
        """Without a result; what was kept of the last attempt is in `of_attempt`."""
        *before, last = self.job["attempts"]
        kept = attempt(last["number"], last["executor"], **of_attempt)
        self.becomes(state=state, phase=None, attempts=[*before, kept])

    def wait_until_watched(self, times: int = 1) -> None:
        wait_for(lambda: len(self.asked) >= times, f"{times} requests for events")


class StubLiveServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    queue: StubLiveQueue
    tls: ssl.SSLContext
    is_closed = False


class StubLiveHandler(BaseHTTPRequestHandler):
    server: StubLiveServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # it hung up
            super().handle()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        queue = self.server.queue
        queue.requests.append(f"POST {self.path}")
        queue.posts_held.wait(60)
        if self.server.is_closed:
            self.close_connection = True
            return
        self._answer(201, queue.job)

    def do_GET(self) -> None:
        queue = self.server.queue
        if self.server.is_closed:
            self.close_connection = True
        elif not self.path.endswith("/events"):
            queue.requests.append(f"GET {self.path}")
            self._answer(200, queue.job)
        elif queue.has_no_events:
            self._answer(404, {"type": "/problems/not-found", "detail": "No such page."})
        else:
            queue.asked.append(self.headers.get("Last-Event-ID", ""))
            self._stream(int(self.headers.get("Last-Event-ID") or 0))

    def _stream(self, seen: int) -> None:
        """The events after `seen`, to the end of the job, or to where it is cut."""
        queue = self.server.queue
        last = seen + queue.cut_after.pop(0) if queue.cut_after else None
        cut_at = time.monotonic() + (queue.cut_seconds or 3600)
        is_over, kept_back, comment_at = False, [], time.monotonic()
        if not queue.keeps_back:
            self._begin_stream()
        while not is_over and (last is None or seen < last):
            new = self._wait_for_new(seen, last, min(cut_at, comment_at))
            if self.server.is_closed or time.monotonic() >= cut_at:
                break
            pieces = [
                f"event: {name}\nid: {number}\ndata: {json.dumps(data)}\n\n".encode()
                for number, (name, data) in enumerate(new, seen + 1)
            ]
            seen += len(new)
            comment_at = time.monotonic() + queue.comment_seconds
            is_over = any(name == "job" and _is_over(data) for name, data in new)
            if queue.keeps_back:
                kept_back += pieces
            else:
                self._chunks(pieces or [b":\n\n"])
        if is_over and queue.keeps_back:
            self._begin_stream()
            self._chunks(kept_back)
        if is_over:
            self._chunks([b""])
            return
        self.close_connection = True
        if random.random() < 0.5:  # in the middle of a chunk
            self.wfile.write(b"20\r\nevent: output\nid: 999\ndata")

    def _wait_for_new(self, seen: int, last: int | None, until: float) -> list[tuple[str, Any]]:
        """The next events; none if there are none until then."""
        queue = self.server.queue
        with queue.changed:
            while len(queue.events) == seen and not self.server.is_closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                queue.changed.wait(left)
            return queue.events[seen:last]

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        if self.server.queue.closes:
            self.send_header("Connection", "close")
        if self.server.queue.promises:
            self.send_header("Telerun-Comment-Seconds", self.server.queue.promises)
        self.end_headers()

    def _chunks(self, pieces: list[bytes]) -> None:
        for data in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{len(self.server.queue.events)}"')
        self.send_header("Content-Length", str(len(content)))
        if self.server.queue.closes:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def _is_over(job: dict[str, Any]) -> bool:
    return job["state"] not in ("queued", "running")
