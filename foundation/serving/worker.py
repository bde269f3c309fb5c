"""gunicorn's worker for a queue: connections shared out fairly, slow clients given up."""

import contextlib
import errno
import functools
import mmap
import os
import ssl
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import ThreadWorker

MINIMUM_RATE = 1000  # bytes a second; a client that is slower for long is given up
DRAIN_SECONDS = 60  # for the rest of a body that nobody wants
_AFTER_YOU_SECONDS = 0.001  # by then another process has taken the connection, if it could


class Worker(ThreadWorker):
    """A server process that shares the connections fairly with the others, and closes each in the
    thread that had it.

    All processes are woken for a new connection, and the same would always be the first: it, and
    so one core, would serve everyone, since clients keep their connections.

    And gunicorn waits up to two seconds for a client to close its end, in the one thread that
    accepts connections: a client that never does would keep everyone else waiting.
    """

    def accept(self, listener: Any) -> None:
        if _accepted_last[:] == self._name:
            time.sleep(_AFTER_YOU_SECONDS)
        had = self.nr_conns
        super().accept(listener)
        if self.nr_conns > had:
            _accepted_last[:] = self._name

    @property
    def _name(self) -> bytes:
        return os.getpid().to_bytes(len(_accepted_last), "big")

    def handle(self, conn: Any) -> Any:
        kept = super().handle(conn)
        if kept is False:
            with contextlib.suppress(OSError):
                conn.close(graceful=True)
            conn.close = _is_closed
        return kept

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Reads on to the end of an honest body that was refused unread (a wrong token).

        gunicorn would hang up after 64 KiB, and a client that still sends would never see why.
        """
        most = settings.TELERUN_MAX_BODY_BYTES
        until = time.monotonic() + DRAIN_SECONDS
        return bool(conn.parser.finish_body(deadline=until, max_bytes=most)) and keepalive


_accepted_last = mmap.mmap(-1, 8)  # shared memory: the process that took the last connection


def _is_closed(graceful: bool = False) -> None:
    """The `close` of a connection that is."""


class _Pace:
    """How long a thread has waited for a client in one direction, for how many bytes."""

    def __init__(self) -> None:
        self.waited = 0.0
        self.moved = 0

    @property
    def left(self) -> float:
        """For how long it may still wait; without end for a client that keeps MINIMUM_RATE."""
        return settings.TELERUN_SILENCE_SECONDS + self.moved / MINIMUM_RATE - self.waited


class ClientSocket(ssl.SSLSocket):
    """Gives up who stops in the middle of a handshake, a request or an answer, or trickles it.

    A thread waits for them, and gunicorn has no such limit. Between requests a connection may be
    silent for KEEPALIVE_SECONDS: no thread waits for it then.
    """

    _asked: float | None = None  # the time-out that others have set

    def settimeout(self, seconds: float | None) -> None:
        self._asked = seconds
        super().settimeout(seconds)

    def setblocking(self, flag: bool) -> None:
        """A request begins (or, with False, has ended)."""
        self._in, self._out = _Pace(), _Pace()
        self.settimeout(settings.TELERUN_SILENCE_SECONDS if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        self.setblocking(True)
        with self._waiting(self._in):
            super().do_handshake(block)

    def recv(self, *args: Any) -> bytes:
        with self._waiting(self._in) as pace:
            data = super().recv(*args)
            pace.moved += len(data)
            return data

    def send(self, *args: Any) -> int:  # sendall calls it
        with self._waiting(self._out) as pace:
            sent = super().send(*args)
            pace.moved += sent
            return sent

    @contextlib.contextmanager
    def _waiting(self, pace: _Pace) -> Iterator[_Pace]:
        """Silence becomes what gunicorn takes for a client that went away, which it is."""
        seconds = pace.left if self._asked is None else min(pace.left, self._asked)
        began = time.monotonic()
        try:
            if self._asked != 0:
                if pace.left <= 0:
                    raise TimeoutError
                super().settimeout(seconds)
            yield pace
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client fell silent") from error
        finally:
            pace.waited += time.monotonic() - began


@functools.cache
def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = ClientSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # clients keep their connections, and resume none
    context.load_cert_chain(certificate, key)
    return context


def one_context(config: Any, _default: Any) -> ssl.SSLContext:
    """One TLS context a process: gunicorn would load the files for every connection."""
    return _context(config.certfile, config.keyfile)
