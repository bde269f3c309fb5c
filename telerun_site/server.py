"""gunicorn, set up for a queue: TLS, many held connections, a clean stop."""

import gc
import importlib
import logging
import re
import resource
import signal
import sys
from typing import Any

from django.conf import settings
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from foundation.database import connections
from foundation.serving.pages import HubOrThread
from foundation.serving.worker import Worker

# A student and an idle compile worker each hold one connection open.
CONNECTIONS = 6000
SPARE_DESCRIPTORS = 200  # for the database, the audit file, and gunicorn's own
BACKLOG = 2048
KEEPALIVE_SECONDS = 75  # an idle connection is cheaper than another TLS handshake
STOP_SECONDS = 10  # what a request in progress gets when the server stops
WORKER_SILENCE_SECONDS = 60  # a process that does not respond for this long is replaced
SWITCH_SECONDS = 0.001  # how soon the hub gets Python back from a native thread

log = logging.getLogger(__name__)

# The addresses of every job's life. All else may take long: a native thread's.
QUICK = re.compile(
    r"(GET|HEAD) /api/v1/(queue|jobs/\d+(/events)?)"
    r"|(GET|HEAD) (/admin/jobs/job|/jobs)/\d+/events"
    r"|POST /api/v1/(jobs(/\d+/cancel)?|claims|attempts/\d+/(heartbeat|output|release))"
    r"|PUT /api/v1/(executor|attempts/\d+/(result|files/.*))"
)
# A job whose claim was lost waits again; its executor's report is refused.
# What is printed comes again with the result.
LOSABLE = re.compile(r"POST /api/v1/(claims|attempts/\d+/(heartbeat|output))")


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
            "worker_class": Worker,
            "workers": settings.TELERUN_WORKERS,
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
        from jobs.api.v1 import express
        from telerun_site.wsgi import application

        # Now, and not at the first request: the processes share what was imported, and hear
        # each other's bell (foundation/serving/feeds.py), only if it was before they were forked.
        importlib.import_module(settings.ROOT_URLCONF)
        gc.freeze()  # what was imported stays shared: the collector would write into all of it

        connections.begin_server()
        return HubOrThread(application, is_quick, may_be_lost, express.answer)


def is_quick(method: str, path: str) -> bool:
    """Whether a request may run on the hub."""
    return QUICK.fullmatch(f"{method} {path}") is not None


def may_be_lost(method: str, path: str) -> bool:
    """Whether a power cut may take back what was answered."""
    return LOSABLE.fullmatch(f"{method} {path}") is not None


def _descriptors() -> int:
    """How many files and sockets a process may have: as many as it is allowed to allow itself.

    With none left for a connection it would have to stop accepting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def _announce(arbiter: Arbiter) -> None:
    host, port = arbiter.LISTENERS[0].sock.getsockname()[:2]
    print(
        f"Telerun's queue listens on https://{host}:{port}, with its data in "
        f"{settings.TELERUN_DATA_DIR}. Ctrl-C stops it.",
        flush=True,
    )


def _start_worker(worker: Any) -> None:
    """In every server process: the sweeper, and a stop that ends the waits first."""
    from foundation.serving import greenlets, waiting
    from jobs import outlook, sweeper
    from jobs.audit import file as audit_file
    from jobs.bulk import working

    sys.setswitchinterval(SWITCH_SECONDS)
    connections.begin_process()
    greenlets.spawn(_look_after_the_database, "database")
    audit_file.start_following()
    sweeper.start()
    working.start()
    outlook.start()

    def stop(signum: int, frame: Any) -> None:
        waiting.stopping.set()
        worker.handle_exit(signum, frame)

    signal.signal(signal.SIGTERM, stop)
    for quick in (signal.SIGINT, signal.SIGQUIT):  # Ctrl-C at a terminal reaches everyone
        signal.signal(quick, stop)
    sys.stdout.flush()


def _look_after_the_database() -> None:
    from django.db import OperationalError

    from foundation.serving import greenlets, waiting

    while not waiting.stopping.wait(1.0):
        try:
            greenlets.in_a_thread(connections.look_after)
        except OperationalError as error:
            log.warning("The database could not be looked after: %s", str(error).strip())
