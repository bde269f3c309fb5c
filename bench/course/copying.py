"""Many more jobs, by copying in SQL what the operations made."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def without_syncs() -> Iterator[None]:
    """Inside it nothing waits for the disk; a power cut may cost the database."""
    off = {"sqlite": "PRAGMA synchronous = OFF", "postgresql": "SET synchronous_commit TO OFF"}
    on = {"sqlite": "PRAGMA synchronous = FULL", "postgresql": "SET synchronous_commit TO ON"}
    with connection.cursor() as cursor:
        cursor.execute(off[connection.vendor])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(on[connection.vendor])


def copy_up_to(jobs: int) -> None:
    raise NotImplementedError
