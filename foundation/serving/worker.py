"""gunicorn's greenlet worker for a queue: silent clients make way, slow ones are given up."""

import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import gevent.socket
from django.conf import settings
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import wait_read
from gunicorn import http
from gunicorn.workers.ggevent import GeventWorker

from foundation.serving.waiters import stopping

MINIMUM_RATE = 1000  # bytes a second; a client that is slower for long is given up
PIECE_BYTES = 64 * 1024  # of an answer, each sent at that rate at least
HEAD_BYTES = 4096  # where an answer says how long it is; of one that does not, nothing is held
DRAIN_SECONDS = 60  # for the rest of a body that nobody wants
STOP_STEP_SECONDS = 0.05
_LENGTH = b"\r\nContent-Length: "


class Worker(GeventWorker):
    """A server process: a greenlet for each connection, the same patience with all of them.

    gunicorn's own has no limit for a client that says nothing, or stops in the middle.
    """

    def patch(self) -> None:
        """The server has patched what it wants (`greenlets.patch`); gunicorn would patch all."""
        self.sockets = [
            gevent.socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach())
            for s in self.sockets
        ]

    def run(self) -> None:
        self._context = tls_context(self.cfg)
        # Connections without a request at work, which may end at any moment: who has been so for
        # longest first.
        self._idle: dict[gevent.Greenlet, None] = {}
        servers = [self._server(listener) for listener in self.sockets]
        for server in servers:
            server.start()
        while self.alive:
            self.notify()
            stopping.wait(1.0)
        self._stop(servers)

    def _server(self, listener: Any) -> StreamServer:
        listener.setblocking(False)

        def serve(sock: socket.socket, address: Any) -> None:
            self._serve(listener, sock, address)

        server = StreamServer(listener, handle=serve, spawn=Pool(self.worker_connections))
        server.max_accept = 1  # so that processes share the connections
        return server

    def _stop(self, servers: list[StreamServer]) -> None:
        """Lets requests at work end; connections between two requests end at once."""
        for server in servers:
            server.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        while time.monotonic() < until and any(len(server.pool) for server in servers):
            for greenlet in list(self._idle):
                greenlet.kill(block=False)
            self.notify()
            gevent.sleep(STOP_STEP_SECONDS)
        for server in servers:
            server.stop(timeout=1)

    # --- A connection ---

    def _serve(self, listener: Any, sock: socket.socket, address: Any) -> None:
        self._begins_to_idle()
        try:
            # Until its first byte it costs no memory for TLS.
            wait_read(sock.fileno(), timeout=settings.TELERUN_SILENCE_SECONDS)
            with contextlib.closing(Client(self._context, sock)) as client:
                self._serve_requests(listener, client, address)
        except (OSError, gevent.Timeout):
            pass  # it went away, fell silent, or speaks no TLS
        finally:
            self._idle.pop(gevent.getcurrent(), None)

    def _begins_to_idle(self) -> None:
        """Where too many are idle, who has been so for longest makes way."""
        if len(self._idle) >= self.worker_connections // 2:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.kill(block=False)
        self._idle[gevent.getcurrent()] = None

    def _serve_requests(self, listener: Any, client: "Client", address: Any) -> None:
        parser = http.get_parser(self.cfg, client, address)
        seconds = settings.TELERUN_SILENCE_SECONDS
        while self._request_begins(client, parser, seconds):
            request = None
            client.begin()
            try:
                request = next(parser)
                self._idle.pop(gevent.getcurrent(), None)
                goes_on = self._handle(listener, request, client, address)
            except (StopIteration, http.errors.NoMoreData):
                return
            except OSError:
                raise
            except Exception as error:
                self.handle_error(request, client, address, error)
                return
            self._begins_to_idle()
            goes_on = self._drained(parser, client) and goes_on and self.alive
            if not goes_on:
                return
            seconds = self.cfg.keepalive

    def _request_begins(self, client: "Client", parser: Any, seconds: float) -> bool:
        """Whether a further request comes in time."""
        if parser.unreader.buf.tell() or client.has_read_ahead():
            return True
        try:
            wait_read(client.fileno(), timeout=seconds)
        except OSError:
            return False
        return True

    def _handle(self, listener: Any, request: Any, client: "Client", address: Any) -> bool:
        """Whether the connection may be used again."""
        goes_on = True
        try:
            self.handle_request(listener.getsockname(), request, client, address)
        except StopIteration:
            goes_on = False
        client.flush()
        return goes_on

    def _drained(self, parser: Any, client: "Client") -> bool:
        """Reads on to the end of an honest body that was refused unread (a wrong token).

        A client that still sends would never see why.
        """
        client.begin()
        with gevent.Timeout(DRAIN_SECONDS), contextlib.suppress(http.errors.ParseException):
            return bool(parser.finish_body(max_bytes=settings.TELERUN_MAX_BODY_BYTES))
        return False


class _Pace:
    """How long a client has been waited for in one direction, for how many bytes."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.moved = 0

    @property
    def left(self) -> float:
        """For how long it may still wait; without end for a client that keeps MINIMUM_RATE."""
        return settings.TELERUN_SILENCE_SECONDS + self.moved / MINIMUM_RATE - self.waited


class Client:
    """A client's end of TLS, as gunicorn reads and writes it.

    Who stops in the middle of a handshake, a request or an answer, or trickles it, has gone away
    (ConnectionResetError). Between requests a connection may be silent for longer.
    """

    def __init__(self, context: ssl.SSLContext, sock: socket.socket) -> None:
        """Shakes hands. Raises OSError."""
        self.begin()
        self._socket = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        try:
            with self._waiting(self._in):
                self._socket.do_handshake()
        except BaseException:
            self._socket.close()
            raise

    def begin(self) -> None:
        """A request begins: all its time is before it."""
        self._in, self._out = _Pace(), _Pace()
        self._head = b""  # of an answer, held until its body is there: one record of TLS, not two

    def fileno(self) -> int:
        return self._socket.fileno()

    def gettimeout(self) -> float:
        """Asked by gunicorn before it writes an error: there is nothing to change."""
        return 0.0

    def has_read_ahead(self) -> bool:
        """Whether there are bytes that the kernel no longer has."""
        return self._socket.pending() > 0

    def recv(self, size: int) -> bytes:
        if self._in.left <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow")
        with self._waiting(self._in) as pace:
            data = self._socket.recv(min(size, PIECE_BYTES))
        self._let_others_go_on(pace, len(data))
        return data

    def _let_others_go_on(self, pace: "_Pace", moved: int) -> None:
        """While there is something to read, or room to send, gevent does not switch."""
        before = pace.moved
        pace.moved += moved
        if before // PIECE_BYTES != pace.moved // PIECE_BYTES:
            gevent.sleep(0)

    def sendall(self, data: bytes) -> None:
        if not self._head and data.startswith(b"HTTP/1.1 ") and _LENGTH in data[:HEAD_BYTES]:
            self._head = data
            return
        data, self._head = self._head + data, b""
        self._send(data)

    send = sendall

    def flush(self) -> None:
        """Sends what is held: an answer without a body."""
        head, self._head = self._head, b""
        self._send(head)

    def _send(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            with self._waiting(self._out) as pace:
                self._socket.sendall(piece)
            self._let_others_go_on(pace, len(piece))

    @contextlib.contextmanager
    def _waiting(self, pace: _Pace) -> Iterator[_Pace]:
        """Silence becomes what gunicorn takes for a client that went away, which it is."""
        began = time.monotonic()
        if hasattr(self, "_socket"):
            self._socket.settimeout(max(0.001, pace.left))
        try:
            yield pace
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client fell silent") from error
        finally:
            pace.waited += time.monotonic() - began

    def shutdown(self, how: int) -> None:
        """gunicorn breaks off an answer that it cannot finish."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()
        with contextlib.suppress(OSError):
            self._socket.close()


def tls_context(config: Any) -> ssl.SSLContext:
    """One TLS context for all connections of a process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # clients keep their connections, and resume none
    context.load_cert_chain(config.certfile, config.keyfile)
    return context
