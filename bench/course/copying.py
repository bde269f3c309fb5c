"""Many more jobs, by copying in SQL what the operations made.

The copies are of a term before, as if each student had been many: they stand in the weeks before
the course's first, with the same owners, hosts, ends and logs, some seconds from each other. They
are jobs that are over and left no files, their attempts and audit entries. The tables hold together
(`db check`), but for the audit file: of that only the last line is written, so that a server takes
it for complete.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction

from jobs.audit.file import line_of
from jobs.models import Attempt, AuditCounter, AuditEntry, Job, OutputFile
from jobs.states import FINAL

APART_SECONDS = 0.4  # one copy from the next


@contextmanager
def without_syncs() -> Iterator[None]:
    """Inside it nothing waits for the disk; a power cut may cost the database."""
    off = {"sqlite": "PRAGMA synchronous = OFF", "postgresql": "SET synchronous_commit TO OFF"}
    on = {"sqlite": "PRAGMA synchronous = FULL", "postgresql": "SET synchronous_commit TO ON"}
    execute(off[connection.vendor])
    try:
        yield
    finally:
        execute(on[connection.vendor])


def number_from(jobs: int) -> None:
    """Jobs and attempts that are made from now on have numbers from there: copies go before."""
    for model, first in ((Job, jobs), (Attempt, 2 * jobs)):
        table = model._meta.db_table
        if connection.vendor == "sqlite":
            execute(f"DELETE FROM sqlite_sequence WHERE name = '{table}'")
            execute(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {first - 1})")
        else:
            execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {first})")


def copy_up_to(wanted: int, back: timedelta) -> None:
    """Copies until there are about as many jobs; each `back` before what it is a copy of."""
    if connection.vendor == "sqlite":
        execute("PRAGMA cache_size = -1000000")
    with transaction.atomic():
        _note_what_is_copied()
        rows = Job.objects.count()
        times = max(1, round((wanted - rows) / _count("course_jobs")))
        _copy(Job, "course_jobs", times, back)
        _copy(Attempt, "course_attempts", times, back, job_id=_key("course_jobs", "job_id", times),
              claim_key="NULL")  # fmt: skip
        _make_room_in_the_audit_log(_count("course_entries") * times)
        _copy(AuditEntry, "course_entries", times, back,
              job_id=_key("course_jobs", "job_id", times))  # fmt: skip


def settle() -> None:
    """What a server has that served all this: PostgreSQL's statistics, the audit file's end."""
    if connection.vendor == "postgresql":
        execute("VACUUM ANALYZE")  # as autovacuum does
    last = AuditEntry.objects.latest("id")
    settings.TELERUN_AUDIT_LOG.write_bytes(line_of(last))


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        return cursor.fetchone()[0]


def _note_what_is_copied() -> None:
    """A table for each: the row, and its place among those that are copied."""
    with_files = OutputFile.objects.order_by().values("attempt__job_id")
    jobs = Job.objects.filter(state__in=FINAL).exclude(pk__in=with_files)
    of_jobs = {"job_id__in": jobs.order_by().values("pk")}
    chosen: dict[str, Any] = {
        "course_jobs": jobs,
        "course_attempts": Attempt.objects.filter(**of_jobs),
        "course_entries": AuditEntry.objects.filter(**of_jobs),
    }
    for table, rows in chosen.items():
        sql, values = rows.order_by().values("id").query.sql_with_params()
        ranked = f"SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM ({sql}) AS chosen"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE {table} AS {ranked}", values)
            cursor.execute(f"CREATE INDEX {table}_id ON {table} (id)")


def _key(table: str, column: str, times: int) -> str:
    """The key of a row's copy, by the row's own."""
    return f"(SELECT (m.place - 1) * {times} + n.i FROM {table} m WHERE m.id = t.{column})"


def _copy(
    model: type[models.Model], chosen: str, times: int, back: timedelta, **different: str
) -> None:
    columns = {field.column: f"t.{field.column}" for field in model._meta.concrete_fields}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.DateTimeField):
            columns[field.column] = _earlier(f"t.{field.column}", back)
    columns |= {"id": f"(c.place - 1) * {times} + n.i", **different}
    numbers = (
        "WITH RECURSIVE numbers(i) AS "
        f"(SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {times}) "
    )
    table = model._meta.db_table
    execute(
        f"INSERT INTO {table} ({', '.join(columns)}) {numbers}"
        f"SELECT {', '.join(columns.values())} FROM {chosen} c "
        f"CROSS JOIN {table} t CROSS JOIN numbers n WHERE t.id = c.id"
    )


def _earlier(column: str, back: timedelta) -> str:
    seconds = f"({APART_SECONDS} * n.i - {back.total_seconds()})"
    if connection.vendor == "sqlite":  # as Django writes times
        return f"strftime('%Y-%m-%d %H:%M:%f', {column}, {seconds} || ' seconds')"
    return f"{column} + {seconds} * INTERVAL '1 second'"


def _make_room_in_the_audit_log(count: int) -> None:
    """The entries that are there come after the copies: numbers have no gaps."""
    table = AuditEntry._meta.db_table
    execute(f"UPDATE {table} SET id = -(id + {count})")
    execute(f"UPDATE {table} SET id = -id")
    execute(f"UPDATE course_entries SET id = id + {count}")
    execute(f"UPDATE {AuditCounter._meta.db_table} SET last_id = last_id + {count}")
