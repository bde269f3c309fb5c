"""Writing entries of the audit log."""

from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from foundation import acting
from foundation.database.statements import insert
from jobs.audit import file
from jobs.audit.models import AuditCounter, AuditEntry


class Entry(NamedTuple):
    """An audit entry before it has an id."""

    username: str
    action: str
    job_id: int | None = None
    request: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    address: str | None = None  # the client's; None: that of whoever acts, if there is one


def record(*entries: Entry) -> None:
    """Writes the entries, in the caller's transaction, and the file after its commit.

    Call it last: it holds the counter's lock until the transaction ends.
    """
    last_id = _take_ids(len(entries))
    now, address = timezone.now(), acting.now().address
    for place, entry in enumerate(entries, start=1):
        row = AuditEntry(id=last_id - len(entries) + place, timestamp=now, **entry._asdict())
        row.address = entry.address or address
        insert(row)
    transaction.on_commit(file.follow_soon)


def record_account_change(
    actor: str, action: str, name: str, address: str | None = None, **signal: Any
) -> None:
    """Receives accounts.signals.account_changed."""
    request = {"name": name, **(signal.get("about") or {})}
    for member in ("before", "after"):
        if told := signal.get(member):
            request[member] = told
    with transaction.atomic():
        record(Entry(actor, action, request=request, address=address))


def _take_ids(count: int) -> int:
    # Plain SQL: every change of a job passes here, and building a query costs more than it.
    table = AuditCounter._meta.db_table
    add = f"UPDATE {table} SET last_id = last_id + %s WHERE id = 1 RETURNING last_id"  # noqa: S608
    with connection.kept_cursor() as cursor:
        cursor.execute(add, [count])
        row = cursor.fetchone()
        if row is None:
            AuditCounter.objects.get_or_create(pk=1)
            cursor.execute(add, [count])
            row = cursor.fetchone()
        return row[0]
