"""Where the news comes from: which jobs changed, by whichever process's commit.

On SQLite a `ChangeReader`, which `jobs` registers, finds it in the tables; PostgreSQL notifies.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from django.db import DatabaseError, connection, transaction

from foundation.bell import Bell
from foundation.database import connections
from foundation.hooks import Hook
from foundation.serving import greenlets

CHANNEL = "telerun"  # of PostgreSQL's NOTIFY
OUTPUT = "telerun_output"  # another one, for what programs print

GATHER_SECONDS = 0.02  # from one note about output to the next
_TOPICS_OF_A_NOTE = 300  # PostgreSQL's have less than 8,000 bytes

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
    """A job changed; with a platform, it now waits for an executor of that. Or it did not change,
    and there is more for those who read what its program prints."""

    job_id: int
    platform: str | None = None
    is_output: bool = False


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


class _Teller:
    """Tells the other processes and servers what its own have seen, some of it at once."""

    def __init__(self) -> None:
        self._topics: dict[int, None] = {}
        self._is_due = False
        self._told_at = 0.0

    def add(self, topic: int) -> None:
        self._topics[topic] = None
        if not self._is_due:
            self._is_due = True
            greenlets.spawn(self._tell_soon, "news")

    def _tell_soon(self) -> None:
        greenlets.sleep(max(0.0, self._told_at + GATHER_SECONDS - time.monotonic()))
        self._told_at = time.monotonic()
        self._is_due = False
        topics, self._topics = list(self._topics), {}
        try:
            for start in range(0, len(topics), _TOPICS_OF_A_NOTE):
                _tell_others(topics[start : start + _TOPICS_OF_A_NOTE])
        except DatabaseError as error:  # they look by themselves, a second later
            log.warning("Others could not be told of output: %s", str(error).strip())
        finally:
            connection.close()


_teller = _Teller()


def tell(job_id: int) -> None:
    """Says soon, to other processes and servers, that there is more of a job's output.

    Not in a transaction: nobody waits for a commit, and a few hundredths of a second are gathered.
    """
    _teller.add(job_id)


def _tell_others(topics: list[int]) -> None:
    if connection.vendor == "postgresql":
        with connection.kept_cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [OUTPUT, " ".join(map(str, topics))])
    else:
        connections.scratch().tell(topics)
        bell.ring()


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
        self._output = _OutputNotes()
        self._output.read()  # what comes from now on counts

    def _data_version(self) -> int:
        return self._database.execute("PRAGMA data_version").fetchone()[0]

    def read(self) -> Iterable[Change]:
        yield from self._output.read()
        version = self._data_version()
        if version != self._version:
            self._version = version
            yield from self._reader.read()

    def close(self) -> None:
        self._database.close()


class _OutputNotes:
    """What other processes have said of output; it may be lost, with all that is in its file."""

    def __init__(self) -> None:
        self._scratch: Any = connections.scratch()
        self._version = (0, 0)
        self._last = -1  # it could not be read yet

    def read(self) -> list[Change]:
        """What was said since the last call; nothing while it cannot be read."""
        try:
            return list(self._read())
        except DatabaseError:
            return []

    def _read(self) -> Iterable[Change]:
        if self._last < 0:
            self._last = self._scratch.told_until_now()
        version = self._scratch.version()
        if version == self._version:
            return
        if version[0] != self._version[0]:  # a new file
            self._last = min(self._last, self._scratch.told_until_now())
        self._version = version
        for number, topics in self._scratch.told_since(self._last):
            self._last = number
            for topic in topics.split():
                yield Change(int(topic), is_output=True)


class _PostgresFeed:
    """Notifications on a connection of its own."""

    def __init__(self) -> None:
        import psycopg

        from foundation.database.postgresql.base import has_a_pooler_before_it

        parameters: dict[str, Any] = connection.get_connection_params()
        for of_django in ("cursor_factory", "context", "pool"):
            parameters.pop(of_django, None)
        self._connection = psycopg.connect(**parameters, autocommit=True)
        for channel in (CHANNEL, OUTPUT):
            self._connection.execute(f"LISTEN {channel}")
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
            if notice.channel == OUTPUT:
                for topic in notice.payload.split():
                    yield Change(int(topic), is_output=True)
                continue
            job_id, _, platform = notice.payload.partition(" ")
            yield Change(int(job_id), platform or None)

    def close(self) -> None:
        self._connection.close()
