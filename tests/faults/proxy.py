"""A proxy between a client and the queue, through which the network can be broken on purpose.

It holds the queue's own certificate, so that it can read the requests that go through it: a
fault can be had for "the answer to the next claim", whoever sends it.
"""

import asyncio
import re
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import free_port

LIMIT = 32 << 20  # bytes of a line or body


class Exchange(NamedTuple):
    """A request that came to the proxy, and the status of its answer."""

    at: float  # time.monotonic()
    method: str
    path: str
    status: int


class Drop(NamedTuple):
    """Answers to be thrown away: those to `method`, a path that matches, and with `status`."""

    method: str
    path: str
    status: int
    done: threading.Event

    def fits(self, method: str, path: str, status: int) -> bool:
        found = re.search(self.path, path)
        return bool(found) and (method, status) == (self.method, self.status)


class Hold(NamedTuple):
    """A request to be held, before the queue gets it or before its answer is passed on."""

    method: str
    path: str
    before: bool
    arrived: threading.Event
    go_on: asyncio.Event

    def fits(self, method: str, path: str) -> bool:
        return method == self.method and bool(re.search(self.path, path))


class Message(NamedTuple):
    """An HTTP request or answer, whole."""

    first: list[str]  # the words of its first line
    raw: bytes
    closes: bool


class Proxy:
    """Listens on `port` of localhost for as long as the `with` block lasts."""

    def __init__(self, server_port: int, data: Path) -> None:
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.exchanges: list[Exchange] = []
        self._server_port = server_port
        self._certificate, self._key = data / "server.cert", data / "server.key"
        self._drops: list[Drop] = []
        self._holds: list[Hold] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listening: asyncio.Server | None = None

    def __enter__(self) -> "Proxy":  # noqa: PYI034  (Self came with Python 3.11)
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- Faults; from any thread ---

    def stall(self) -> None:
        """Nothing gets through in either direction any more; no connection breaks."""
        self._call(self._flowing.clear)

    def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        self._do(self._cut())

    def heal(self) -> None:
        """All is well again; what was stalled arrives late."""
        self._do(self._heal())

    def drop(self, method: str, path: str, status: int) -> threading.Event:
        """Throws away the next such answer and breaks its connection; set when that is done.

        The queue has answered by then: what it did is committed.
        """
        drop = Drop(method, path, status, threading.Event())
        self._call(lambda: self._drops.append(drop))
        return drop.done

    def hold(self, method: str, path: str, *, before: bool) -> Hold:
        """Holds the next such request until `let_go`: before the queue has it, or its answer."""

        async def make() -> Hold:
            hold = Hold(method, path, before, threading.Event(), asyncio.Event())
            self._holds.append(hold)
            return hold

        return self._do(make())

    def let_go(self, hold: Hold) -> None:
        """Lets what was held go on."""
        self._call(hold.go_on.set)

    def count(self, method: str, path: str, since: float = 0.0) -> int:
        """How many requests came, from then on."""
        return sum(
            e.at >= since and e.method == method and bool(re.search(path, e.path))
            for e in list(self.exchanges)
        )

    # --- In the proxy's own thread ---

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _call(self, function: Callable[[], Any]) -> None:
        async def call() -> None:
            function()

        self._do(call())

    async def _start(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._towards_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._towards_client.load_cert_chain(self._certificate, self._key)
        self._towards_server = ssl.create_default_context(cafile=str(self._certificate))
        await self._listen()

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._towards_client, limit=LIMIT, backlog=512
        )

    async def _cut(self) -> None:
        if self._listening:
            self._listening.close()
            self._listening = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _heal(self) -> None:
        self._flowing.set()
        if self._listening is None:
            await self._listen()

    async def _stop(self) -> None:
        await self._cut()
        self._flowing.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._open.add(writer)
        upstream: list[asyncio.StreamWriter] = []
        try:
            await self._pass_on(reader, writer, upstream)
        except (OSError, EOFError, asyncio.CancelledError, ValueError):
            pass
        finally:
            for each in [writer, *upstream]:
                self._open.discard(each)
                each.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: list[asyncio.StreamWriter],
    ) -> None:
        """One client's connection, with a connection of its own to the queue."""
        answers: asyncio.StreamReader | None = None
        while True:
            request = await _read(reader)
            method, path = request.first[:2]
            await self._flowing.wait()
            await self._held(method, path, before=True)
            if answers is None:
                answers, up = await asyncio.open_connection(
                    "localhost", self._server_port, ssl=self._towards_server, limit=LIMIT
                )
                upstream.append(up)
                self._open.add(up)
            upstream[0].write(request.raw)
            await upstream[0].drain()
            answer = await _unless_gone(reader, _read(answers))
            status = int(answer.first[1])
            self.exchanges.append(Exchange(time.monotonic(), method, path, status))
            await self._flowing.wait()
            await self._held(method, path, before=False)
            if self._is_dropped(method, path, status):
                return
            writer.write(answer.raw)
            await writer.drain()
            if answer.closes:
                writer.close()
                return

    async def _held(self, method: str, path: str, *, before: bool) -> None:
        for hold in self._holds:
            if hold.before == before and hold.fits(method, path):
                self._holds.remove(hold)
                hold.arrived.set()
                await hold.go_on.wait()
                return

    def _is_dropped(self, method: str, path: str, status: int) -> bool:
        for drop in self._drops:
            if drop.fits(method, path, status):
                self._drops.remove(drop)
                drop.done.set()
                return True
        return False


async def _read(reader: asyncio.StreamReader) -> Message:
    """One message with a Content-Length, or without a body. Raises EOFError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").splitlines()
    headers = {k.strip().lower(): v.strip() for k, _, v in (n.partition(":") for n in lines if n)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Message(first.split(), head + body, headers.get("connection", "").lower() == "close")


async def _unless_gone(
    client: asyncio.StreamReader, answer: Coroutine[Any, Any, Message]
) -> Message:
    """The answer; raises EOFError if the client hangs up before it is there."""
    reading = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(client.read(1))
    try:
        await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise EOFError
        return reading.result()
    finally:
        for task in (reading, watching):
            task.cancel()
        await asyncio.gather(reading, watching, return_exceptions=True)
