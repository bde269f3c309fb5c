"""A stub queue that gives out jobs by the platforms that a claim names.

It knows what an executor needs and no more: no users, no leases that run out. What it was asked and
what it answered is kept for the test, which can hold it up at any point.
"""

import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.processes import World, wait_for

HOLD_SECONDS = 20  # a claim without a job, as the real queue does
LIMITS = {
    "compile_seconds": 60, "execute_seconds": 600, "output_bytes": 1 << 20, "log_bytes": 1 << 20
}  # fmt: skip


class StubClaim:
    """One request for a job, as it came."""

    def __init__(self, key: str, body: dict[str, Any], connection: int) -> None:
        self.key = key
        self.platforms: dict[str, int] = body.get("platforms", {"cuda": 1})
        self.body = body
        self.connection = connection  # which of all connections, by number
        self.is_held = True


class StubQueue:
    """Serves from the world's address, in threads of the test."""

    def __init__(self, world: World) -> None:
        self.changed = threading.Condition()
        self.claims: list[StubClaim] = []
        self.waiting: list[dict[str, Any]] = []
        self.jobs: dict[int, dict[str, Any]] = {}
        self.given: dict[str, dict[str, Any]] = {}  # by the key of the claim
        self.results: dict[int, dict[str, Any]] = {}
        self.released: list[tuple[int, str]] = []
        self.uncounted: set[int] = set()  # of those, the jobs that it cost no attempt
        self.cancelled: set[int] = set()
        self.phases: dict[int, str] = {}
        self.connections = 0
        self.document: dict[str, Any] = {}  # the API's
        self.stream: bool | None = None  # of each claim; None: an older queue, without live output
        self.watched = True  # in every answer about an attempt, if it is no older one
        self.outputs: dict[int, list[tuple[str, int, bytes]]] = {}  # by job, as they came
        self.partial: dict[int, dict[str, str]] = {}  # logs of those that were released
        # Called with the claim, without the lock, when a job is its but the answer is not sent yet.
        self.before_answer: Callable[[StubClaim], None] = lambda claim: None
        # Called with the path and the body of a report; what it answers instead: status and HTML.
        self.proxy: Callable[[str, bytes], tuple[int, bytes] | None] = lambda path, body: None
        self._server = StubServer(("127.0.0.1", world.port), StubHandler)
        self._server.queue = self
        self._server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.tls.load_cert_chain(world.data / "server.cert", world.data / "server.key")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def auth(self, world: World, name: str = "gpu1") -> Path:
        return world.auth("executor", name, "stub-token")

    # --- For the test ---

    def submit(
        self, platform: str | None, source: str, filename: str = "a.cu", **members: Any
    ) -> int:
        """A job waits; `platform` None as an older queue's. Returns its number."""
        with self.changed:
            job = {"id": len(self.jobs) + 1, "source": source, "filename": filename, "args": [],
                   "limits": LIMITS, **members}  # fmt: skip
            if platform is not None:
                job["platform"] = platform
            self.jobs[job["id"]] = job
            self.waiting.append(job)
            self.changed.notify_all()
            return job["id"]

    def told(self, job: int, log: str = "execute") -> bytes:
        """What came of a log, where it stands in it; what is missing in between is b"?"."""
        found = b""
        for name, offset, data in list(self.outputs.get(job, [])):
            if name == log:
                found = found[:offset].ljust(offset, b"?") + data + found[offset + len(data) :]
        return found

    def wait_until_done(self, *jobs: int) -> list[dict[str, Any]]:
        wait_for(lambda: all(job in self.results for job in jobs), f"jobs {jobs} are done")
        return [self.results[job] for job in jobs]

    def held(self) -> list[StubClaim]:
        return [claim for claim in self.claims if claim.is_held]

    def wait_until_named(self, *platforms: str) -> StubClaim:
        """A claim is held that names these and no others."""

        def found() -> StubClaim | None:
            names = set(platforms)
            return next((c for c in self.held() if set(c.platforms) == names), None)

        return wait_for(found, f"a claim names {platforms}; {[c.platforms for c in self.held()]}")

    # --- For the handler ---

    def claim(self, claim: StubClaim, is_gone: Callable[[], bool]) -> dict[str, Any] | None:
        """The same key brings the same job, as long as that is open."""
        deadline = time.monotonic() + HOLD_SECONDS
        with self.changed:
            self.claims.append(claim)
            while True:
                if is_gone() or time.monotonic() > deadline:
                    claim.is_held = False
                    return None
                if self._give(claim):
                    break
                self.changed.wait(0.02)
        self.before_answer(claim)
        claim.is_held = False
        return self.given[claim.key]

    def _give(self, claim: StubClaim) -> bool:
        if claim.key in self.given:
            return True
        for job in self.waiting:
            if "platform" not in job or job["platform"] in claim.platforms:
                self.waiting.remove(job)
                lease = {"id": 1000 + job["id"], "lease_token": "t", "lease_seconds": 2}
                self.given[claim.key] = {"attempt": lease, "job": job}
                if self.stream is not None:
                    self.given[claim.key]["stream"] = self.stream
                return True
        return False

    def report(self, attempt: int, what: str, body: dict[str, Any]) -> dict[str, Any]:
        job = attempt - 1000
        with self.changed:
            if what == "result":
                assert job not in self.results, f"job {job} ran twice"
                self.results[job] = body
            elif what == "release":
                self.released.append((job, body["reason"]))
                self.uncounted |= set() if body.get("counts", True) else {job}
                self.partial[job] = {name: body[name] for name in body if name.endswith("_log")}
            elif what == "output":
                data = body["text"].encode("utf-8", "surrogateescape")
                self.outputs.setdefault(job, []).append((body["log"], body["offset"], data))
                self.changed.notify_all()
            else:
                self.phases[job] = body["phase"]
        known = {} if self.stream is None else {"watched": self.watched}
        return {"lease_seconds": 2, "cancel_requested": job in self.cancelled, **known}


class StubServer(ThreadingHTTPServer):
    daemon_threads = True
    queue: StubQueue
    tls: ssl.SSLContext


class StubHandler(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        with self.server.queue.changed:
            self.server.queue.connections += 1
            self.number = self.server.queue.connections
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def log_message(self, *_: object) -> None:
        pass

    def _is_gone(self) -> bool:
        """Whether the client hung up, of which TLS itself would not know yet."""
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        raw = socket.socket(fileno=self.connection.fileno())
        try:
            return raw.recv(1, socket.MSG_PEEK) == b""
        finally:
            raw.detach()

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        other = self.server.queue.proxy(self.path, data)
        if other:
            self._answer(other[0], other[1])
            return
        is_json = self.headers["Content-Type"] == "application/json"
        body = json.loads(data or "{}") if is_json else {}
        attempt = re.fullmatch(r"/api/v1/attempts/(\d+)/(\w+)", self.path)
        if attempt:
            self._answer(200, self.server.queue.report(int(attempt[1]), attempt[2], body))
        elif self.path == "/api/v1/claims":
            claim = StubClaim(self.headers["Idempotency-Key"], body, self.number)
            given = self.server.queue.claim(claim, self._is_gone)
            self._answer(201 if given else 204, given)
        else:
            self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(200, self.server.queue.document)

    do_PUT = do_POST  # noqa: N815

    def _answer(self, status: int, body: dict[str, Any] | bytes | None) -> None:
        content = b"" if body is None else body
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # it hung up
            self.close_connection = True
