"""Clients that mean harm, or are broken: what they send, on bare sockets."""

import contextlib
import gzip
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.ground import Ground

MIB = 1 << 20
PATIENCE_SECONDS = 60
HANDSHAKES = 3  # a busy machine's client may be late for the few seconds that a handshake may take


class Hostile:
    """A maker of connections to the ground's queue, with a good user's token in hand."""

    def __init__(self, ground: Ground, auth: Path) -> None:
        self._ground = ground
        self._token = json.loads(auth.read_text())["token"]

    def plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._ground.port), PATIENCE_SECONDS)

    def tls(self) -> ssl.SSLSocket:
        for _ in range(HANDSHAKES - 1):
            with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
                return self._handshake()
        return self._handshake()

    def _handshake(self) -> ssl.SSLSocket:
        return self._ground.trust.wrap_socket(self.plain(), server_hostname="localhost")

    def head(self, *lines: str, start: str = "POST /api/v1/jobs HTTP/1.1") -> bytes:
        """A request's head with the token, as JSON, and `lines` besides."""
        whole = (
            start,
            "Host: localhost",
            f"Authorization: Bearer {self._token}",
            "Content-Type: application/json",
            *lines,
        )
        return ("\r\n".join(whole) + "\r\n\r\n").encode("latin-1")

    def answers(self, data: bytes, *, shut: bool = False) -> list[int]:
        """Sends it all, and returns the status of every answer until the server hangs up.

        A server may answer and hang up before it has read everything.
        """
        with self.tls() as client:
            with contextlib.suppress(OSError):
                client.sendall(data)
            if shut:  # the TCP connection's half: TLS has none
                bare = socket.socket(fileno=os.dup(client.fileno()))
                with bare, contextlib.suppress(OSError):  # it has hung up already
                    bare.shutdown(socket.SHUT_WR)
            return _statuses(client)


def _statuses(client: ssl.SSLSocket) -> list[int]:
    """Of what comes until the server hangs up; whoever sent `Connection: close` gets that."""
    told = b""
    try:
        while more := client.recv(65536):
            told += more
    except (ConnectionError, ssl.SSLError):
        pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", told)]


# --- Malformed requests ------------------------------------------------------------------

# What is sent, and which statuses are right; 0 stands for hanging up without a word.
Shape = tuple[Callable[[Hostile], list[int]], set[int]]
CLOSE = "Connection: close"


def _body(hostile: Hostile, body: bytes, *lines: str, shut: bool = False) -> list[int]:
    head = hostile.head(CLOSE, f"Content-Length: {len(body)}", *lines)
    return hostile.answers(head + body, shut=shut)


def _truncated(hostile: Hostile) -> list[int]:
    return hostile.answers(hostile.head(CLOSE, "Content-Length: 100") + b'{"source": "', shut=True)


def _two(hostile: Hostile, *lines: str) -> list[int]:
    """Smuggling: what follows the request must never be answered as a second one."""
    smuggled = hostile.head("Content-Length: 0", CLOSE, start="POST /api/v1/jobs/1/cancel HTTP/1.1")
    return hostile.answers(hostile.head(*lines) + b"0\r\n\r\n" + smuggled)


def _chunks(count: int) -> bytes:
    return (b"10000\r\n" + b"x" * 65536 + b"\r\n") * count


def _raw(data: bytes) -> Callable[[Hostile], list[int]]:
    return lambda hostile: hostile.answers(data, shut=True)


def _get(path: str, *lines: str, version: str = "1.1") -> Callable[[Hostile], list[int]]:
    start = f"GET {path} HTTP/{version}"
    return lambda hostile: hostile.answers(hostile.head(CLOSE, *lines, start=start))


def _json(text: str) -> Callable[[Hostile], list[int]]:
    return lambda hostile: _body(hostile, text.encode())


SHAPES: dict[str, Shape] = {
    "a truncated body": (_truncated, {0, 400}),
    "a Content-Length below the body": (
        lambda h: h.answers(h.head("Content-Length: 5") + b'{"source": 1}\r\n\r\n', shut=True),
        {400},
    ),
    "no number as Content-Length": (lambda h: h.answers(h.head("Content-Length: x")), {400}),
    "a negative Content-Length": (lambda h: h.answers(h.head("Content-Length: -1")), {400}),
    "two Content-Lengths": (
        lambda h: _two(h, "Content-Length: 5", "Content-Length: 6"), {400},
    ),
    "an endless Content-Length": (
        lambda h: h.answers(h.head(CLOSE, "Content-Length: " + "9" * 5000), shut=True), {400, 413},
    ),
    "100 MB, declared": (lambda h: _body(h, b'{"source": "' + b"x" * (100 * MIB) + b'"}'), {413}),
    "100 MB in chunks": (
        lambda h: h.answers(h.head(CLOSE, "Transfer-Encoding: chunked") + _chunks(1600)), {411},
    ),
    "chunks that lie": (
        lambda h: h.answers(h.head("Transfer-Encoding: chunked") + b"zz\r\n", shut=True),
        {411, 400},
    ),
    "a gzip bomb": (
        lambda h: _body(h, gzip.compress(b" " * (200 * MIB), 1), "Content-Encoding: gzip"), {415},
    ),
    "a deflate bomb on its way": (
        lambda h: _two(h, "Transfer-Encoding: gzip, chunked"), {411},
    ),
    "deeply nested arrays": (_json("[" * 500_000), {400}),
    "deeply nested objects": (_json('{"a":' * 500_000), {400}),
    "two million small arrays": (_json("[" + "[]," * 2_000_000 + "[]]"), {400}),
    "a million bad arguments": (
        _json('{"source": "x", "args": [' + "[]," * 1_000_000 + "[]]}"), {400},
    ),
    "a million members": (
        _json("{" + ",".join(f'"{n}":1' for n in range(500_000)) + "}"), {400},
    ),
    "a number without end": (_json('{"source": ' + "9" * 1_000_000 + "}"), {400}),
    "both lengths": (lambda h: _two(h, "Content-Length: 5", "Transfer-Encoding: chunked"), {400}),
    "an obscured Transfer-Encoding": (lambda h: _two(h, "Transfer-Encoding: xchunked"), {501}),
    "a folded Transfer-Encoding": (
        lambda h: _two(h, "Content-Length: 5", "Transfer-Encoding:\r\n chunked"), {400},
    ),
    "chunks in HTTP/1.0": (
        lambda h: h.answers(h.head("Transfer-Encoding: chunked", start="POST / HTTP/1.0")), {400},
    ),
    "a header of 100 KB": (_get("/api/v1/jobs", "X-Long: " + "x" * 100_000), {400, 431}),
    "a thousand headers": (
        _get("/api/v1/jobs", *(f"X-Header-{n}: x" for n in range(1000))), {400, 431},
    ),
    "a header without end": (_raw(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * (8 * MIB)), {400, 431}),
    "a line without end": (_raw(b"GET /" + b"x" * (8 * MIB)), {400, 414}),
    "a long address": (_get("/api/v1/jobs/" + "1" * 8000), {404, 414}),
    "a longer address": (_get("/api/v1/jobs?" + "x" * 9000), {414, 400}),
    "a NUL in the path": (_get("/api/v1/jobs/%00"), {404}),
    "a bare NUL in the path": (_get("/api/v1/jobs/\0"), {400}),
    "a NUL in a header": (_get("/api/v1/jobs", "X: a\0b"), {400}),
    "no UTF-8 in the path": (_get("/api/v1/jobs/%ff%fe"), {404}),
    "a way out of the path": (_get("/api/v1/../../etc/passwd"), {404}),
    "a way out of the static files": (_get("/static/..%2f..%2fetc/passwd"), {404}),
    "a NUL among the static files": (_get("/static/%00"), {404}),
    "HTTP/1.0": (_get("/api/v1/jobs", version="1.0"), {200}),
    "HTTP/0.9": (_raw(b"GET /\r\n\r\n"), {400}),
    "HTTP/2 without asking": (_raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), {400}),
    "HTTP/9.9": (_get("/api/v1/jobs", version="9.9"), {400}),
    "no HTTP": (_raw(b"\xde\xad\xbe\xef" * 1000 + b"\r\n\r\n"), {400}),
    "a strange method": (
        lambda h: h.answers(h.head(CLOSE, start="BREW /api/v1/jobs HTTP/1.1")), {405},
    ),
    "an absolute address": (_get("https://example.org/api/v1/jobs"), {200, 400, 404}),
    "a strange Host": (_get("/api/v1/jobs", "Host: a b"), {400}),
    "an expectation": (_get("/api/v1/jobs", "Expect: magic"), {417}),
    "a cookie jar": (_get("/admin/", "Cookie: " + "a=b; " * 1500), {302}),
    "many parameters": (_get("/api/v1/jobs?" + "limit=1&" * 400), {200}),
}  # fmt: skip


def pipelined(hostile: Hostile) -> list[int]:
    """Twenty requests at once, answered one by one."""
    one = hostile.head(start="GET /api/v1/jobs?limit=1 HTTP/1.1")
    last = hostile.head(CLOSE, start="GET /api/v1/jobs?limit=1 HTTP/1.1")
    return hostile.answers(one * 19 + last)


# --- Crowds that hold connections --------------------------------------------------------


def _silent(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.plain(), b""


def _half_a_handshake(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.plain(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300


def _no_tls(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.plain(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def _head(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.tls(), b"POST /api/v1/jobs HTTP/1.1\r\nX-Slow: " + b"x" * 500


def _slow_body(hostile: Hostile) -> tuple[socket.socket, bytes]:
    body = hostile.head("Content-Length: 1000000") + b'{"source": "' + b"x" * 500
    return hostile.tls(), body


def _slow_chunks(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.tls(), hostile.head("Transfer-Encoding: chunked") + b"5\r\nxxxxx\r\n" * 50


def _after_tls(hostile: Hostile) -> tuple[socket.socket, bytes]:
    return hostile.tls(), b""


def _never_closes(hostile: Hostile) -> tuple[socket.socket, bytes]:
    """It is answered, told that the connection ends, and does not end it."""
    return hostile.tls(), hostile.head(CLOSE, start="GET /api/v1/jobs HTTP/1.1")


CROWDS = {
    "say nothing": _silent,
    "stop in the handshake": _half_a_handshake,
    "speak no TLS": _no_tls,
    "trickle a head": _head,
    "trickle a body": _slow_body,
    "trickle chunks": _slow_chunks,
    "say nothing inside TLS": _after_tls,
    "never close": _never_closes,
}


@contextlib.contextmanager
def crowd(hostile: Hostile, kind: str, count: int) -> Iterator[list[socket.socket]]:
    """`count` connections that have sent their beginning and trickle on, byte for byte."""
    members: list[socket.socket] = []
    stop = threading.Event()
    try:
        for _ in range(count):
            client, beginning = CROWDS[kind](hostile)
            members.append(client)
            client.sendall(beginning)
        trickle = threading.Thread(target=_trickle, args=(members, stop), daemon=True)
        if "trickle" in kind:
            trickle.start()
        yield members
    finally:
        stop.set()
        for client in members:
            with contextlib.suppress(OSError):
                client.close()


def _trickle(members: list[socket.socket], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        for client in members:
            with contextlib.suppress(OSError, ValueError):
                client.settimeout(0)
                client.send(b"x")
