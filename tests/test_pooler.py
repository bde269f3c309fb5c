"""B12: behind PgBouncer's transaction pooling notifications are lost. The queue says so."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Postgres, binaries
from tests.support.processes import Process, World, free_port, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.processes]

PGBOUNCER = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")

if PGBOUNCER is None or binaries() is None:
    if os.environ.get("CI") == "true":
        raise RuntimeError("PgBouncer or PostgreSQL is missing, and under CI=true nothing may be")
    pytest.skip("these tests need PgBouncer and PostgreSQL", allow_module_level=True)

WARNING = "PostgreSQL's notifications do not arrive here"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


def start_pooler(folder: Path, postgres: Postgres, mode: str) -> tuple[Process, int]:
    """A real PgBouncer before the server, and its port."""
    place = folder / "pooler"
    place.mkdir()
    port = free_port()
    users = place / "users.txt"
    users.write_text(f'"{postgres.user}" ""\n')
    settings = place / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    options = {}
    if os.getuid() == 0:  # it refuses to run as root
        for path in (folder, place, users, settings):
            path.chmod(0o755)
        options = {"user": "postgres", "group": "postgres", "extra_groups": []}
        for parent in place.parents:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o111)
    pooler = Process("pooler", folder / "pooler.log", [PGBOUNCER, settings], **options)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, "PgBouncer listens")
    return pooler, port


@pytest.mark.hardening
@pytest.mark.parametrize("mode", ["transaction", "session", "none"])
def test_lost_notifications_are_noticed_and_said(
    tmp_path: Path, postgres: Postgres, mode: str
) -> None:
    url = postgres.new_database()
    pooler = None
    if mode != "none":
        pooler, port = start_pooler(tmp_path, postgres, mode)
        url = url.replace(f":{postgres.port}/", f":{port}/")
    try:
        with World(tmp_path / "world", DATABASE_URL=url) as world:
            alice, gpu = world.user("alice"), world.executor("gpu1")
            server = world.start_server(TELERUN_WORKERS=1)
            world.request(gpu, "POST", "/claims", {}, Prefer="wait=4")
            told = server.told().count(WARNING)
            assert told == (1 if mode == "transaction" else 0)
            # And it works, if late: an idle executor's held claim gets a job that comes.
            assert world.request(alice, "POST", "/jobs", {"source": "x"})[0] == 201
            assert world.request(gpu, "POST", "/claims", {}, Prefer="wait=10")[0] == 201
    finally:
        if pooler:
            pooler.kill()
