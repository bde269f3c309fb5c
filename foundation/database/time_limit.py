"""A limit on how long the database works for a page: a safety net for what no index serves."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, OperationalError, connection

_STEPS = 20_000  # of SQLite's machine, from one look at the clock to the next: a millisecond or so

_PATIENCE = 5  # times as long, on SQLite, where the machine is busy with something else


class TakesTooLong(Exception):
    """The database was stopped."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TakesTooLong if the statements inside take longer; on PostgreSQL each by itself."""
    connection.ensure_connection()
    is_sqlite = hasattr(connection.connection, "set_progress_handler")
    with _on_sqlite(seconds) if is_sqlite else _on_postgresql(seconds):
        yield


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    database = connection.connection
    worked, latest = time.thread_time() + seconds, time.monotonic() + _PATIENCE * seconds

    def is_over() -> bool:
        return time.thread_time() > worked or time.monotonic() > latest

    database.set_progress_handler(is_over, _STEPS)
    try:
        yield
    except OperationalError as error:
        if "interrupted" in str(error):
            raise TakesTooLong from error
        raise
    finally:
        database.set_progress_handler(None, 0)


@contextmanager
def _on_postgresql(seconds: float) -> Iterator[None]:
    from psycopg.errors import QueryCanceled

    def set_to(milliseconds: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])

    set_to(int(seconds * 1000))
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TakesTooLong from error
        raise
    finally:
        with suppress(DatabaseError):  # in a transaction that failed: its end takes it back
            set_to(0)
