"""A consistent copy of the database while the server runs (docs/adr/0006)."""

import os
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import quote

from django.db import connection


class BackupFailed(Exception):
    """The copy could not be made; the message says why."""


def write(path: Path) -> None:
    """Writes a copy of the whole database to `path`, a new file, for its owner alone.

    An SQLite database becomes an SQLite file; PostgreSQL's becomes an archive for pg_restore.
    Raises BackupFailed; what was begun is then removed.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise BackupFailed(f"{path} is there already; name a new file.") from None
    except OSError as error:
        raise BackupFailed(f"{path} cannot be written: {error.strerror}.") from error
    try:
        _WRITERS[connection.vendor](path)
        _sync(path)
    except (BackupFailed, sqlite3.Error, OSError) as error:
        path.unlink(missing_ok=True)
        raise BackupFailed(f"The backup failed: {error}") from error


def _sqlite(path: Path) -> None:
    source = Path(connection.settings_dict["NAME"]).resolve()
    with (
        sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True) as database,
        sqlite3.connect(path) as copy,
    ):
        database.backup(copy)  # all in one step: nobody's commit falls in between
        (sound,) = copy.execute("PRAGMA integrity_check").fetchone()
    database.close()
    copy.close()
    if sound != "ok":
        raise BackupFailed(f"the copy is damaged: {sound}")


def _postgresql(path: Path) -> None:
    settings = connection.settings_dict
    # By the environment: arguments can be read by every user of the machine.
    environment = {
        "PGHOST": settings["HOST"],
        "PGPORT": settings["PORT"],
        "PGUSER": settings["USER"],
        "PGPASSWORD": settings["PASSWORD"],
        "PGDATABASE": settings["NAME"],
        "PGSSLMODE": settings["OPTIONS"].get("sslmode"),
        "PGSSLROOTCERT": settings["OPTIONS"].get("sslrootcert"),
    }
    given = {name: str(value) for name, value in environment.items() if value}
    try:
        done = subprocess.run(
            ["pg_dump", "--format=custom", "--no-unlogged-table-data", f"--file={path}"],
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise BackupFailed("pg_dump was not found; install PostgreSQL's client programs.") from None
    if done.returncode:
        raise BackupFailed(done.stderr.decode(errors="replace").strip())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


_WRITERS = {"sqlite": _sqlite, "postgresql": _postgresql}
