"""`manage.py telerun_serve`, also `python3 -m submission_queue.main`: the HTTPS server."""

import argparse
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections

from foundation.commands import TelerunCommand
from jobs.audit.file import follow
from telerun_site import certificates, rights
from telerun_site.server import Server


class Command(TelerunCommand):
    """Checks what the server needs, then becomes it."""

    help = "Run the queue's HTTPS server."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--bind",
            default="0.0.0.0",  # noqa: S104  (a server for the whole course)
            metavar="ADDRESS",
            help="listen here (default: %(default)s)",
        )
        parser.add_argument(
            "--port",
            type=_port,
            default=settings.TELERUN_PORT,
            help="listen on this port (default: TELERUN_PORT, else %(default)s)",
        )

    def run(self, **options: Any) -> None:
        try:
            for warning in certificates.check_pair(
                settings.TELERUN_CERTIFICATE, settings.TELERUN_KEY
            ):
                self.stderr.write(f"Warning: {warning}")
        except certificates.CertificateProblem as error:
            raise CommandError(str(error)) from error
        check_free(options["bind"], options["port"])
        rights.keep_if_there()
        follow(set_aside=True)
        close_connections()  # gunicorn forks; a connection must not be shared
        Server(options["bind"], options["port"]).run()


def close_connections() -> None:
    """Closes this process's connections, and the pool where the database has one."""
    connections.close_all()
    for connection in connections.all():
        if hasattr(connection, "close_pool"):
            connection.close_pool()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def check_free(bind: str, port: int) -> None:
    """Raises CommandError if nothing can listen there: gunicorn would try for long, noisily."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bind, port))
            probe.listen()
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {bind} port {port}: {error.strerror or error}. "
            "Is a server running there already? --port chooses another."
        ) from error
