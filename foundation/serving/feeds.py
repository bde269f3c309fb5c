"""Where the news comes from: which jobs changed, by whichever process's commit.

On SQLite a `ChangeReader`, which `jobs` registers, finds it in the tables; PostgreSQL notifies.
"""

import logging
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from django.db import connection, transaction

from foundation.bell import Bell
from foundation.hooks import Hook

CHANNEL = "telerun"  # of PostgreSQL's NOTIFY

NO_JOB = -1  # announced to see whether announcements arrive
PROBE_SECONDS = 2.0
DEAF = (
    "PostgreSQL's notifications do not arrive here: a pooler gives each transaction another "
    "connection, as PgBouncer does with pool_mode = transaction. Waiting students and executors "
    "are told up to a second late. Use pool_mode = session, or name PostgreSQL itself in "
    "DATABASE_URL."
)

log = logging.getLogger(__name__)

bell = Bell()  # made before the server forks its processes: they all hear it


class Change(NamedTuple):
    """A job changed; with a platform, it now waits for an executor of that."""

    job_id: int
    platform: str | None = None


class Feed(Protocol):
    """What was committed since it was opened."""

    descriptor: int | None  # readable when there is a change; None where one has to ask

    def read(self) -> Iterable[Change]:
        """What happened since the last call, without waiting for more."""

    def close(self) -> None: ...


class ChangeReader(Protocol):
    """Reads from an SQLite database which jobs changed since the last call."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Changes committed from now on count."""

    def read(self) -> Iterable[Change]: ...


change_reader: Hook[type[ChangeReader]] = Hook("the reader of changes")


def announce(job_id: int, platform: str | None = None) -> None:
    """Says, in the transaction that does it, that a job changed, and what it now waits for.

    PostgreSQL notifies those who listen; on SQLite a bell makes the server's processes read.
    """
    if connection.vendor == "postgresql":
        with connection.kept_cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{job_id} {platform or ''}"])
    else:
        transaction.on_commit(bell.ring)


def open_feed() -> Feed:
    """The feed of the default database, open. Raises DatabaseError."""
    with connection.wrap_database_errors:
        return _PostgresFeed() if connection.vendor == "postgresql" else _SqliteFeed()


class _SqliteFeed:
    """What a ChangeReader finds, whenever anybody has committed."""

    descriptor = None

    def __init__(self) -> None:
        name = str(connection.settings_dict["NAME"])
        self._database = sqlite3.connect(
            name, timeout=0, check_same_thread=False, isolation_level=None
        )
        self._version = self._data_version()
        self._reader = change_reader.get()(self._database)

    def _data_version(self) -> int:
        return self._database.execute("PRAGMA data_version").fetchone()[0]

    def read(self) -> Iterable[Change]:
        version = self._data_version()
        if version == self._version:
            return ()
        self._version = version
        return self._reader.read()

    def close(self) -> None:
        self._database.close()


class _PostgresFeed:
    """Notifications on a connection of its own."""

    def __init__(self) -> None:
        import psycopg

        from foundation.database.postgresql.base import has_a_pooler_before_it

        parameters: dict[str, Any] = connection.get_connection_params()
        for of_django in ("cursor_factory", "context", "pool"):
            parameters.pop(of_django, None)
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._connection.execute(f"LISTEN {CHANNEL}")
        self.descriptor = self._connection.fileno()
        if has_a_pooler_before_it(self._connection) and not self._hears(parameters):
            log.warning(DEAF)

    def _hears(self, parameters: dict[str, Any]) -> bool:
        """Whether a notification of another connection arrives."""
        import psycopg

        with psycopg.connect(**parameters, autocommit=True) as other:
            other.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{NO_JOB} "])
        return any(True for _ in self._connection.notifies(timeout=PROBE_SECONDS, stop_after=1))

    def read(self) -> Iterable[Change]:
        for notice in self._connection.notifies(timeout=0):
            job_id, _, platform = notice.payload.partition(" ")
            yield Change(int(job_id), platform or None)

    def close(self) -> None:
        self._connection.close()
