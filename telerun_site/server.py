"""gunicorn, set up for a queue: TLS, many held connections, a clean stop."""

import contextlib
import errno
import functools
import gc
import importlib
import mmap
import os
import resource
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

# A student and an idle compile worker each hold one request open, and so one thread. Threads
# are made when needed, for half of the connections: gunicorn gives up keep-alive without the rest.
CONNECTIONS = 4000
SPARE_DESCRIPTORS = 200  # for the database, the audit file, and gunicorn's own
BACKLOG = 2048
LEAST_RATE = 1000  # bytes a second; who is slower for long is given up
DRAIN_SECONDS = 60  # for the rest of a body that nobody wants
KEEPALIVE_SECONDS = 75  # an idle connection is cheaper than another TLS handshake
STOP_SECONDS = 10  # what a request in progress gets when the server stops
_AFTER_YOU_SECONDS = 0.001  # by then another process has taken the connection, if it could
WORKER_SILENCE_SECONDS = 60  # a process that does not respond for this long is replaced


class Server(BaseApplication):
    """The WSGI application under gunicorn, on one address."""

    def __init__(self, bind: str, port: int) -> None:
        host = f"[{bind}]" if ":" in bind else bind
        self.address = f"{host}:{port}"
        super().__init__()

    def load_config(self) -> None:
        connections = min(CONNECTIONS, _descriptors() - SPARE_DESCRIPTORS)
        options: dict[str, Any] = {
            "bind": [self.address],
            "certfile": str(settings.TELERUN_CERTIFICATE),
            "keyfile": str(settings.TELERUN_KEY),
            "ssl_context": _one_context,
            "worker_class": _Worker,
            "workers": settings.TELERUN_WORKERS,
            "threads": connections // 2,
            "worker_connections": connections,
            "backlog": BACKLOG,
            "keepalive": KEEPALIVE_SECONDS,
            "timeout": WORKER_SILENCE_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "preload_app": True,  # the processes share the memory of what they import
            "control_socket_disable": True,
            "forwarder_headers": "",  # no client says which part of the path is the server's
            "loglevel": "error",  # a warning repeats what a client sent, which may be a secret
            "when_ready": _announce,
            "post_worker_init": _start_worker,
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # control_socket came with gunicorn 25
                self.cfg.set(name, value)

    def run(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file holds tokens
        super().run()

    def load(self) -> Any:
        from telerun_site.wsgi import application

        # Now, and not at the first request: the processes share what was imported, and hear
        # each other's bell (jobs/waiting.py), only if it was before they were forked.
        importlib.import_module(settings.ROOT_URLCONF)
        gc.freeze()  # what was imported stays shared: the collector would write into all of it

        return application


def _descriptors() -> int:
    """How many files and sockets a process may have: as many as it is allowed to allow itself.

    gunicorn's process ends when it accepts a connection and has none left.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


class _Worker(ThreadWorker):
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
        """For how long it may still wait. Whoever keeps LEAST_RATE never gets to the end."""
        return settings.TELERUN_SILENCE_SECONDS + self.moved / LEAST_RATE - self.waited


class _ClientSocket(ssl.SSLSocket):
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
    context.sslsocket_class = _ClientSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # clients keep their connections, and resume none
    context.load_cert_chain(certificate, key)
    return context


def _one_context(config: Any, _default: Any) -> ssl.SSLContext:
    """One TLS context a process: gunicorn would load the files for every connection."""
    return _context(config.certfile, config.keyfile)


def _announce(arbiter: Arbiter) -> None:
    host, port = arbiter.LISTENERS[0].sock.getsockname()[:2]
    print(
        f"Telerun's queue listens on https://{host}:{port}, with its data in "
        f"{settings.TELERUN_DATA_DIR}. Ctrl-C stops it.",
        flush=True,
    )


def _start_worker(worker: Any) -> None:
    """In every server process: the sweeper, and a stop that ends the waits first."""
    from jobs import audit, sweeper, waiting
    from telerun_site.sqlite.base import keep_connections

    keep_connections()
    audit.start_following()
    sweeper.start()

    def stop(signum: int, frame: Any) -> None:
        waiting.stopping.set()  # waiters look at it every second; nothing here may lock
        worker.handle_exit(signum, frame)

    signal.signal(signal.SIGTERM, stop)
    for quick in (signal.SIGINT, signal.SIGQUIT):  # Ctrl-C at a terminal reaches everyone
        signal.signal(quick, stop)
    sys.stdout.flush()
