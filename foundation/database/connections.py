"""Connections to the database, and what a server owes it. What differs is in each backend."""

import functools
import logging
from typing import Any, Protocol

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from foundation.database.sqlite import base as sqlite
from foundation.database.sqlite import wiping
from foundation.database.sqlite.scratch import ScratchFile
from foundation.hooks import Hook

log = logging.getLogger(__name__)


class Scratch(Protocol):
    """Tables for what a power cut may take. A statement to them is no part of a transaction on
    SQLite, where they are a file of their own; it waits for no disk."""

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What one statement finds or returns; a parameter is `%s`. Raises DatabaseError."""


scratch_tables: Hook[tuple[str, ...]] = Hook("the scratch tables")  # SQLite's


@functools.cache
def scratch() -> Scratch:
    """Those of this database. A migration makes PostgreSQL's, SQLite's are made as needed."""
    if _is_sqlite():
        return ScratchFile(settings.TELERUN_SCRATCH, scratch_tables.get())
    from foundation.database.postgresql.base import ScratchTables  # needs psycopg

    return ScratchTables()


def release() -> None:
    """Gives this greenlet's or thread's connection up, before it waits for a client or a change.

    A thousand waiting requests would otherwise hold a thousand connections.
    """
    connection.close()


def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def _name() -> str:
    return str(connection.settings_dict["NAME"])


def size() -> int:
    """Bytes that the database takes on its disk. Raises DatabaseError."""
    if _is_sqlite():
        return sqlite.size(_name())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return cursor.fetchone()[0]


def begin_server() -> None:
    """Before a server forks its processes."""
    if _is_sqlite():
        sqlite.begin_server(_name())


def begin_process() -> None:
    """In each of its processes."""
    if _is_sqlite():
        sqlite.begin_process(_name())
    else:
        from foundation.database.postgresql.base import begin_process as begin  # needs psycopg

        begin()


def look_after() -> None:
    """Now and then, in a native thread of each process: work that no request should pay for."""
    if _is_sqlite():
        sqlite.checkpoint_if_due(_name())


def wait_until_durable() -> None:
    """Before anything leaves that rests on the database: returns when that is on the disk.

    On PostgreSQL it was before the commit returned.
    """
    if _is_sqlite():
        sqlite.wait_until_durable()


def make_durable() -> None:
    """The same for what may be a command, or rest on a commit that nobody waits for."""
    if _is_sqlite():
        sqlite.make_durable(_name())
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            # A message in PostgreSQL's log that nobody reads: the commit of something that was
            # written takes all commits before it along to the disk.
            cursor.execute("SELECT pg_logical_emit_message(true, 'telerun', '')")


def may_be_lost() -> None:
    """In a transaction: a power cut may take it back, so that its commit waits for no disk.

    On SQLite whoever answers decides that, by not calling `wait_until_durable`.
    """
    if not _is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO OFF")


# --- What was deleted is to be gone -------------------------------------------------------


def forget_thoroughly() -> None:
    """From now on, what this connection deletes is overwritten. On PostgreSQL that is VACUUM's."""
    if _is_sqlite():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON").fetchall()


def wipe(most_bytes: int | None = wiping.AT_ONCE_BYTES) -> bool:
    """Overwrites what was deleted before; whether that was done. Not for the hub, nor in a
    transaction. A database of more than `most_bytes` is left as it is: it takes long, and nobody
    else writes meanwhile. On PostgreSQL autovacuum does it by and by."""
    if not _is_sqlite():
        return True
    _wipe_scratch()
    return wiping.wipe(_name(), most_bytes)


def empty_log() -> None:
    """What was deleted just now is not in SQLite's log either."""
    if _is_sqlite():
        wiping.empty_log(_name())


def _wipe_scratch() -> None:
    try:
        scratch().rows("VACUUM")
        scratch().rows("PRAGMA wal_checkpoint(TRUNCATE)")
    except DatabaseError as error:  # nothing depends on that file
        log.warning("Live output that was deleted is not overwritten: %s", error)
