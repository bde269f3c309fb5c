"""A pytest plugin, loaded before Django reads its settings: which database the tests run on.

SQLite in a folder of the run's own; or, with TELERUN_TEST_DATABASE=postgresql, the server that
DATABASE_URL names, or one that is started for the run.
"""

import os
import shutil
import tempfile

import pytest

from tests.support.postgres import Postgres, binaries

# Tests never touch the data folder of a real queue.
os.environ["TELERUN_DATA_DIR"] = tempfile.mkdtemp(prefix="telerun-tests-")

ON_POSTGRESQL = os.environ.get("TELERUN_TEST_DATABASE") == "postgresql"
server: Postgres | None = None  # the one that was started for the run

if ON_POSTGRESQL and "DATABASE_URL" not in os.environ:
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.exit("PostgreSQL is missing, and under CI=true nothing may be", returncode=1)
        pytest.exit("SKIPPED: the tests on PostgreSQL need PostgreSQL", returncode=0)
    server = Postgres()
    os.environ["DATABASE_URL"] = server.new_database()
elif not ON_POSTGRESQL:
    os.environ.pop("DATABASE_URL", None)


def new_url() -> str:
    """DATABASE_URL for one more queue, empty; "" for SQLite in its own folder."""
    return server.new_database() if server else ""


def pytest_report_header() -> str:
    return "database: " + ("PostgreSQL" if ON_POSTGRESQL else "SQLite")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["TELERUN_DATA_DIR"], ignore_errors=True)
    if server:
        server.stop()
