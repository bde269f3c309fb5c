"""`manage.py telerun_certificate`, also `python3 -m submission_queue.certificate`."""

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from telerun_site import certificates


class Command(BaseCommand):
    """Makes the self-signed pair that the server and its clients need."""

    help = "Make a self-signed certificate and key (ECDSA P-256) for the names given."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "names",
            metavar="HOST",
            nargs="+",
            help="a host name or address under which clients reach the server",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        certificate, key = settings.TELERUN_CERTIFICATE, settings.TELERUN_KEY
        try:
            certificates.make_self_signed(options["names"], certificate, key)
        except (certificates.CertificateProblem, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Made {certificate} and {key} for {', '.join(options['names'])}.\n"
            f"Give {certificate.name} to every student and GPU host, beside submit.py and "
            "executor.py; keep the key here."
        )
