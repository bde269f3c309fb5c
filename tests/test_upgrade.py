"""A database of an earlier version is brought along by init-db, with everything in it.

`tests/data/` holds such databases as SQL, with rows in every table, as that version wrote them.
"""

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.database import ON_POSTGRESQL
from tests.support.postgres import binaries
from tests.support.processes import ROOT, World

pytestmark = pytest.mark.processes
DATA = ROOT / "tests" / "data"
VERSIONS = ("2026-11-24",)
# What a new version adds to these tables by itself.
GROWS = {
    "auth_permission", "django_content_type", "django_migrations",
    "auth_group", "auth_group_permissions", "accounts_user_user_permissions",
}  # fmt: skip


@pytest.fixture
def old(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """A queue whose database is that version's; nothing of this one has touched it yet."""
    world = World(tmp_path)
    world.data.mkdir()
    kind = "postgresql" if ON_POSTGRESQL else "sqlite"
    dump = DATA / f"database-{request.param}.{kind}.sql"
    if ON_POSTGRESQL:
        psql = binaries() / "psql"
        argv = [psql, "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, world.environment["DATABASE_URL"]]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    else:
        database = sqlite3.connect(world.data / "db.sqlite3")
        database.executescript(dump.read_text())
        database.close()
    return world


def rows(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, by the names of its columns."""
    if ON_POSTGRESQL:
        connection: Any = psycopg.connect(world.environment["DATABASE_URL"])
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    else:
        connection = sqlite3.connect(world.data / "db.sqlite3")
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    found = {}
    for (table,) in connection.execute(tables).fetchall():
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        found[table] = [dict(zip(names, map(_plain, row), strict=True)) for row in cursor]
    connection.close()
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("old", VERSIONS, indirect=True)
def test_everything_in_it_is_still_there(old: World) -> None:
    before = rows(old)
    assert all(before.values()), "every table has rows"
    old.manage("telerun_db", "init-db")
    after = rows(old)
    assert set(before) <= set(after), "no table is renamed"
    for table, rows_before in before.items():
        columns = set(rows_before[0])
        kept = [{name: row[name] for name in columns} for row in after[table]]
        assert [row for row in rows_before if row not in kept] == [], table
        assert len(kept) == len(rows_before) or table in GROWS
    assert old.manage("telerun_db", "check").out.startswith("All is well")
    gpus = [(gpu["uuid"], gpu["condition"], gpu["reason"]) for gpu in after["accounts_gpu"]]
    assert sorted(gpus) == [("GPU-a", "ready", ""), ("GPU-b", "quarantined", "Xid 79 (lost)")]


@pytest.mark.parametrize("old", VERSIONS, indirect=True)
def test_it_serves_and_its_jobs_go_on(old: World) -> None:
    """What waited waits in the same order, and a new job is taken after it."""
    old.manage("telerun_db", "init-db")
    script = (
        "from accounts.models import Executor, User\n"
        "from jobs import claiming, submitting\n"
        "from jobs.models import Job\n"
        "waiting = list(Job.objects.queued().values_list('pk', flat=True))\n"
        "print(submitting.submit(User.objects.get(username='prof'),"
        " submitting.Submission('x'))[0].pk not in waiting)\n"
        "print(claiming.claim(Executor.objects.get(name='gpu2')).job.user.username)"
    )
    assert old.manage("shell", "-v0", "-c", script).out.split() == ["True", "prof"]
    assert old.manage("telerun_db", "check").out.startswith("All is well")


def test_a_version_has_a_dump_for_each_database() -> None:
    kinds = ("sqlite", "postgresql")
    dumps = {f"database-{version}.{kind}.sql" for version in VERSIONS for kind in kinds}
    assert {path.name for path in DATA.glob("*.sql")} == dumps
