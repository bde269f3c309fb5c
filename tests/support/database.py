"""A pytest plugin, loaded before Django reads its settings: which database the tests run on.

SQLite in a folder of the run's own; or, with TELERUN_TEST_DATABASE=postgresql, the server that
DATABASE_URL names, or one that is started for the run. Where pytest-xdist shares the tests among
processes, the first one starts that server and the others use it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.postgres import Postgres, Server, binaries

# The process among those of pytest-xdist: "gw0"; "" for the one that hands out the tests, and
# where there is but one. What a test starts is none of them, though it inherits the name.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "") if "TELERUN_TEST_SHARED" in os.environ else ""
# What all processes of a run share; the first one throws it away.
if WORKER:
    SHARED = Path(os.environ.pop("TELERUN_TEST_SHARED"))
else:
    SHARED = Path(tempfile.mkdtemp(prefix="telerun-tests-"))
    os.environ["TELERUN_TEST_SHARED"] = str(SHARED)
# Tests never touch the data folder of a real queue.
os.environ["TELERUN_DATA_DIR"] = tempfile.mkdtemp(prefix="data-", dir=SHARED)

ON_POSTGRESQL = os.environ.get("TELERUN_TEST_DATABASE") == "postgresql"
server: Server | None = None  # the one that was started for the run

if not ON_POSTGRESQL:
    os.environ.pop("DATABASE_URL", None)
elif WORKER and (port := os.environ.pop("TELERUN_TEST_POSTGRES", "")):
    server = Server(int(port), prefix=f"{WORKER}_")
elif "DATABASE_URL" not in os.environ:
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.exit("PostgreSQL is missing, and under CI=true nothing may be", returncode=1)
        pytest.exit("SKIPPED: the tests on PostgreSQL need PostgreSQL", returncode=0)
    server = Postgres()
    os.environ["DATABASE_URL"] = server.new_database()
    os.environ["TELERUN_TEST_POSTGRES"] = str(server.port)  # for those who come after


def new_url(template: str = "template1") -> str:
    """DATABASE_URL for one more queue, empty or a copy; "" for SQLite in its own folder."""
    return server.new_database(template) if server else ""


def pytest_configure() -> None:
    """In tests nobody kills this server: rows that do start one of their own."""
    if isinstance(server, Postgres):
        server.forget_about_crashes()


def pytest_report_header() -> str:
    return "database: " + ("PostgreSQL" if ON_POSTGRESQL else "SQLite")


def pytest_unconfigure() -> None:
    if WORKER:
        return
    shutil.rmtree(SHARED, ignore_errors=True)
    if isinstance(server, Postgres):
        server.stop()
