"""The load generator: many kept-alive TLS connections in one asyncio process.

HTTP/1.1, no more of it than the queue speaks. Each connection reads its TLS socket itself, which
costs a third of what asyncio's own TLS streams do, so that the generator takes little from the
server it measures.
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Status, headers (names in lower case), body, and when it was there (perf_counter)."""

    status: int
    headers: dict[str, str]
    content: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.content)


class BadAnswer(Exception):
    """The server answered, and not as it should have."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP status {answer.status}: {answer.content[:300]!r}")


def trusting(certificate: Path) -> ssl.SSLContext:
    """One context for all connections; it trusts that certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))


class Connection:
    """One kept-alive connection with one bearer's token; one request at a time."""

    def __init__(self, port: int, context: ssl.SSLContext, token: str) -> None:
        self._port = port
        self._context = context
        self._head = (
            f"Host: localhost:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._socket: ssl.SSLSocket | None = None
        self._buffer = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._chunks: asyncio.Queue[Any] | None = None  # of a stream that is being read
        self._in_stream = False
        self.requests = 0
        self.refused = 0  # answers of 503: try again

    async def open(self) -> "Connection":
        """Connects and shakes hands."""
        loop = asyncio.get_running_loop()
        plain = socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(plain, ("127.0.0.1", self._port))
        self._socket = self._context.wrap_socket(
            plain, server_hostname="localhost", do_handshake_on_connect=False
        )
        await self._shake_hands()
        self._buffer = b""
        loop.add_reader(self._socket.fileno(), self._readable)
        return self

    async def _shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._socket
        while True:
            try:
                return self._socket.do_handshake()
            except ssl.SSLWantReadError:  # what the client sends fits into the socket's buffer
                readable = loop.create_future()
                loop.add_reader(self._socket.fileno(), readable.set_result, None)
                try:
                    await readable
                finally:
                    loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    async def request(
        self, method: str, path: str, body: Any = None, headers: str = "", *, expect: Any
    ) -> Answer:
        """One request, below /api/v1; `headers` are whole lines, each with its CRLF.

        A 503 is counted in `refused` and, as the real clients do, sent again after the time it
        asks for. Raises BadAnswer for a status that is not among `expect`, ConnectionError.
        """
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /api/v1{path} HTTP/1.1\r\n{self._head}{headers}"
        data = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        while (answer := await self._exchange(data)).status == 503:
            self.refused += 1
            await asyncio.sleep(int(answer.headers.get("retry-after", 1)))
        if answer.status not in expect:
            raise BadAnswer(answer)
        return answer

    async def events(self, path: str, last: Callable[[Answer], bool]) -> Answer:
        """Reads a stream until `last` says so of an event, whose answer has its data as content.

        Raises BadAnswer for anything but a stream, ConnectionError.
        """
        self._chunks = asyncio.Queue()
        await self.request("GET", path, expect=(200,))
        text = b""
        found = None
        while chunk := await self._chunks.get():
            if isinstance(chunk, ConnectionError):
                raise chunk
            text += chunk
            *events, text = text.split(b"\n\n")
            for event in events:
                data = event.partition(b"data: ")[2]
                answer = Answer(200, {}, data, time.perf_counter())
                if data and last(answer):
                    found = answer
        if found is None:
            raise ConnectionError("the stream ended too soon")
        return found

    async def _exchange(self, data: bytes) -> Answer:
        if self._socket is None:
            await self.open()
        assert self._socket
        self._answer = asyncio.get_running_loop().create_future()
        self._socket.write(data)
        self.requests += 1
        answer = await self._answer
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def _readable(self) -> None:
        assert self._socket
        try:
            while chunk := self._socket.read(65536):
                self._buffer += chunk
                if self._parse():
                    return None
        except ssl.SSLWantReadError:
            return None
        except OSError as error:
            return self._lost(ConnectionError(str(error)))
        return self._lost(ConnectionError("the server closed the connection"))

    def _parse(self) -> bool:
        if self._in_stream:
            self._parse_chunks()
            return False
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            self._buffer, self._in_stream = rest, True
            self._answered(Answer(int(first.split()[1]), headers, b"", time.perf_counter()))
            self._parse_chunks()
            return False
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return False
        self._buffer = rest[length:]
        self._answered(Answer(int(first.split()[1]), headers, rest[:length], time.perf_counter()))
        return True

    def _answered(self, answer: Answer) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def _parse_chunks(self) -> None:
        """Hands on what is whole; an empty chunk is the stream's end."""
        assert self._chunks
        while self._in_stream:
            size, found, rest = self._buffer.partition(b"\r\n")
            if not found or len(rest) < (length := int(size, 16)) + 2:
                return
            self._buffer = rest[length + 2 :]
            self._in_stream = length > 0
            self._chunks.put_nowait(rest[:length])

    def _lost(self, error: ConnectionError) -> None:
        self.close()
        if self._in_stream and self._chunks:
            self._in_stream = False
            self._chunks.put_nowait(error)
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


class Student:
    """A user's client: submits, and reads its job's stream of events."""

    SOURCE = "int main() { return 0; }\n" * 20  # half a kilobyte, as a small exercise has

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def submit(self, source: str = SOURCE) -> None:
        answer = await self.connection.request("POST", "/jobs", {"source": source}, expect=(201,))
        self._note(answer)

    async def wait(self, seconds: int = 25) -> Answer:
        """The older way: one held request; the answer is a change (200) or none (304)."""
        answer = await self.connection.request(
            "GET",
            f"/jobs/{self.job['id']}",
            headers=f"Prefer: wait={seconds}\r\nIf-None-Match: {self.etag}\r\n",
            expect=(200, 304),
        )
        if answer.status == 200:
            self._note(answer)
        return answer

    async def wait_until_over(self) -> Answer:
        def is_last(answer: Answer) -> bool:
            self._note(answer)
            return self.is_over

        return await self.connection.events(f"/jobs/{self.job['id']}/events", is_last)

    @property
    def is_over(self) -> bool:
        return self.job["state"] not in ("queued", "running")

    def _note(self, answer: Answer) -> None:
        self.job = answer.json()
        self.etag = answer.headers.get("etag", "")


class EmulatedExecutor:
    """What an executor says to the queue, without compiling or running anything."""

    RESULT = {  # noqa: RUF012  (never changed)
        "outcome": "succeeded", "compile_log": "", "execute_log": "hello there\n" * 10,
        "exit_code": 0, "compile_seconds": 1.5, "execute_seconds": 0.5, "nvcc": "none: emulated",
    }  # fmt: skip
    _number = 0

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def claim(self, seconds: int = 25) -> dict[str, Any] | None:
        """The next job, None when none came in time."""
        EmulatedExecutor._number += 1
        answer = await self.connection.request(
            "POST",
            "/claims",
            {},
            f"Prefer: wait={seconds}\r\nIdempotency-Key: bench-{EmulatedExecutor._number}\r\n",
            expect=(201, 204),
        )
        return answer.json() if answer.status == 201 else None

    async def beat(self, claimed: dict[str, Any], phase: str = "executing") -> None:
        attempt = claimed["attempt"]
        body = {"lease_token": attempt["lease_token"], "phase": phase}
        await self.connection.request(
            "POST", f"/attempts/{attempt['id']}/heartbeat", body, expect=(200,)
        )

    async def finish(self, claimed: dict[str, Any]) -> Answer:
        attempt = claimed["attempt"]
        body = {"lease_token": attempt["lease_token"], **self.RESULT}
        return await self.connection.request(
            "PUT", f"/attempts/{attempt['id']}/result", body, expect=(200,)
        )


def token_of(auth: Path) -> str:
    return json.loads(auth.read_text())["token"]
