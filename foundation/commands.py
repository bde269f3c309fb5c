"""What Telerun's management commands have in common."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from foundation.database.schema import bring_schema_up_to_date


class TelerunCommand(BaseCommand):
    """A command that finds its tables there and says in a line when the database is not.

    Subclasses write `run(**options)` and return what to print.
    """

    def execute(self, *args: Any, **options: Any) -> str | None:
        before = os.umask(0o077)  # what is written holds students' programs: for this user alone
        try:
            _check_that_it_answers()
            return super().execute(*args, **options)
        except DatabaseError as error:
            raise CommandError(_in_words(error)) from error
        finally:
            os.umask(before)  # a process may do more than one command

    def handle(self, *_args: Any, **options: Any) -> None:
        if settings.TELERUN_MIGRATE_UNASKED:
            bring_schema_up_to_date()
        if line := self.run(**options):
            self.stdout.write(line)

    def run(self, **options: Any) -> str | None:
        raise NotImplementedError


def _check_that_it_answers() -> None:
    """Raises OperationalError with the reason if the database lets nobody in.

    A pool of connections hides it behind a time-out.
    """
    options = connection.settings_dict.get("OPTIONS", {})
    if (pool := options.pop("pool", None)) is None:
        return
    try:
        connection.ensure_connection()
    finally:
        connection.close()
        options["pool"] = pool


def _in_words(error: DatabaseError) -> str:
    what = str(error).strip().splitlines()[0]
    if "no such table" in what or "does not exist" in what:
        return f"The database has no tables yet ({what}): init-db makes them."
    return f"The database refused: {what}"
