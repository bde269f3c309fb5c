"""What `make_durable` leaves to a power cut: nothing that was committed before."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection, transaction

from foundation.database import connections
from foundation.database.durability import LOG_BYTES, SharedSync
from foundation.database.postgresql.base import _kept
from foundation.database.sqlite import base


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_may_be_lost_is_on_the_disk_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fdatasync = os.fdatasync

    def spy(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", spy)
    with transaction.atomic(), connection.cursor() as cursor:
        connections.may_be_lost()
        cursor.execute("INSERT INTO accounts_failurecount (key, count, ends_at) "
                       "VALUES ('x', 1, '2026-01-01 00:00:00')")  # fmt: skip
    if connection.vendor == "sqlite":
        connections.make_durable()
        assert [path[-4:] for path in synced] == ["-wal"]
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        written = cursor.fetchone()
        connections.make_durable()
        cursor.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", written)
        assert cursor.fetchone() == (True,)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_to_postgresql_is_kept_as_it_was_opened(autocommit: bool) -> None:
    """One without autocommit would begin a transaction with the look whether it is usable."""
    if connection.vendor != "postgresql":
        return  # SQLite's have no such state
    connection.ensure_connection()
    assert {kept.maxlen for kept in _kept.values()} == {0}, "before a fork none is kept"
    connection.connection.autocommit = autocommit
    assert connection._may_be_kept() is autocommit
    connection.connection.autocommit = True


def test_a_checkpoint_that_fails_is_a_database_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of Django's own connections: what looks after the database goes on after one."""
    stub = SimpleNamespace(sync=SimpleNamespace(checkpoint_is_due=lambda: True))
    monkeypatch.setattr(base, "_server", stub)
    (tmp_path / "db.sqlite3").write_bytes(b"no database at all" * 100)
    for name in ("db.sqlite3", "away/db.sqlite3"):
        with pytest.raises(DatabaseError):
            base.checkpoint_if_due(str(tmp_path / name))


def test_a_large_log_is_not_left_to_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output files: fewer commits than are waited for may be gigabytes."""
    sync = SharedSync(tmp_path / "db", lambda act: act())
    assert sync.checkpoint_is_due(), "the first"
    log = tmp_path / "db-wal"
    assert not sync.checkpoint_is_due(), "there is no log"
    log.write_bytes(b"x")
    os.truncate(log, LOG_BYTES + 1)
    assert not sync.checkpoint_is_due(), "nothing was committed since"
    sync.commit_begins()
    assert sync.checkpoint_is_due()
    assert not sync.checkpoint_is_due()
    sync.commit_begins()
    os.truncate(log, LOG_BYTES)
    assert not sync.checkpoint_is_due()
