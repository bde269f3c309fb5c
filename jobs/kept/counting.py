"""Counting what is kept of a user, in the transaction that changes it, by one statement.

The counter's row is locked until that transaction ends: it is taken after the job and its
attempt, and before the audit counter.
"""

from typing import NamedTuple

from django.db import connection
from django.db.models import BigIntegerField, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from courses import limits
from jobs.kept.models import Kept

# Users of whom more is kept than may be, as this process noticed it (jobs/quota.py).
noticed: set[int] = set()
IN_ALL = F("sources") + F("logs") + F("files")
OF_A_USER = Coalesce(  # in a query of users
    Subquery(Kept.objects.filter(user=OuterRef("pk")).values(all=IN_ALL)),
    0,
    output_field=BigIntegerField(),
)


class Bytes(NamedTuple):
    """How many are kept, or come to what is kept."""

    sources: int = 0
    logs: int = 0
    files: int = 0

    @property
    def excess(self) -> int:
        """How many bytes are too many; 0 or less if there is room."""
        quota = limits.user_quota_bytes()
        return sum(self) - quota if quota else 0


def add(user_id: int, *, sources: int = 0, logs: int = 0, files: int = 0) -> Bytes | None:
    """So many bytes more are kept, or fewer: what is kept now; None if nothing changes."""
    change = (sources, logs, files)
    if not any(change):
        return None
    table = Kept._meta.db_table
    more = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in Bytes._fields)
    sql = (
        f"INSERT INTO {table} (user_id, sources, logs, files) VALUES (%s, %s, %s, %s) "  # noqa: S608
        f"ON CONFLICT (user_id) DO UPDATE SET {more} RETURNING sources, logs, files"
    )
    with connection.kept_cursor() as cursor:
        cursor.execute(sql, [user_id, *change])
        kept = Bytes(*cursor.fetchone())
    if kept.excess > 0:
        noticed.add(user_id)
    return kept


def subtract(gone: dict[int, Bytes]) -> None:
    """So many bytes were deleted, by user: in the order of users, for each is a lock."""
    for user_id, size in sorted(gone.items()):
        add(user_id, **{name: -count for name, count in size._asdict().items()})
