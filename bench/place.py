"""What the rows stand on: a queue of their own, the bare server beside it, the disk's floor.

`choose_database` must be called before anything of `tests.support.processes` is used.
"""

import asyncio
import importlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.load import Connection, EmulatedExecutor, Student, token_of, trusting
from bench.measure import cpu_seconds, own_cpu_seconds
from tests.support.postgres import binaries

if TYPE_CHECKING:
    from tests.support.processes import Process, World

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    database: str = "sqlite"
    rounds: int = 3
    quick: bool = False  # small counts: do the rows run?
    jobs: int = 1_000_000  # of row N

    def size(self, whole: int, quick: int) -> int:
        return quick if self.quick else whole


def choose_database(name: str) -> None:
    """SQLite, or a PostgreSQL server started for this run (tests/support/database.py)."""
    if name == "postgresql" and binaries() is None:
        sys.exit("Not measured: the rows on PostgreSQL need PostgreSQL.")
    os.environ.pop("DATABASE_URL", None)
    os.environ["TELERUN_TEST_DATABASE"] = name
    importlib.import_module("tests.support.database")


def leave_database() -> None:
    from tests.support import database

    database.pytest_unconfigure()


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def queue(**environment: Any) -> Iterator["World"]:
    """A queue in a temporary folder; `environment` are settings of its server."""
    from tests.support.processes import World

    with (
        tempfile.TemporaryDirectory(prefix="telerun-bench-") as folder,
        World(Path(folder), **{"TELERUN_SUBMITS_PER_MINUTE": 10_000, **environment}) as world,
    ):
        yield world


def start_bare(world: "World") -> tuple["Process", int]:
    """The bare server with this queue's certificate; the process and its port."""
    from tests.support.processes import Process, free_port

    port = free_port()
    environment = {**world.environment, "DJANGO_SETTINGS_MODULE": "telerun_site.settings"}
    process = Process(
        "bare", world.folder / "bare.log", [sys.executable, "-m", "bench.bare", port],
        cwd=ROOT, env=environment,
    )  # fmt: skip
    world.processes.append(process)
    process.wait_until_told("listens on")
    return process, port


def students(world: "World", auths: list[Path], port: int | None = None) -> list[Student]:
    return [Student(connection) for connection in connections(world, auths, port)]


def executors(world: "World", auth: Path, count: int, port: int | None = None) -> list[Any]:
    """Emulated ones: `count` workers of one executor, a connection each. The queue knows their
    places, so that it expects when students are served."""
    about = {"offers": {"cuda": count}, "languages": ["cuda", "cpp"]}
    if port is None:
        world.request(auth, "PUT", "/executor", about)
    return [EmulatedExecutor(c) for c in connections(world, [auth] * count, port)]


def connections(world: "World", auths: list[Path], port: int | None = None) -> list[Connection]:
    """A connection for each auth.json, not yet open."""
    context = trusting(world.data / "server.cert")
    return [Connection(port or world.port, context, token_of(auth)) for auth in auths]


async def open_all(clients: list[Any]) -> None:
    """Opens the connections of all clients, some at a time."""
    for start in range(0, len(clients), 20):
        await asyncio.gather(*(c.connection.open() for c in clients[start : start + 20]))


def close_all(clients: list[Any]) -> None:
    for client in clients:
        client.connection.close()


class Meter:
    """Seconds, the server's CPU time and the generator's own between `start` and `stop`."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def start(self) -> "Meter":
        self._began = (time.perf_counter(), self._server_cpu(), own_cpu_seconds())
        return self

    def _server_cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._pids)

    def stop(self) -> "Meter":
        now = (time.perf_counter(), self._server_cpu(), own_cpu_seconds())
        self.seconds, self.cpu, self.own_cpu = (
            b - a for a, b in zip(self._began, now, strict=True)
        )
        return self


def commits_a_second(world: "World", seconds: float) -> float:
    """Durable commits of one small row each, one after the other, on the queue's own disk."""
    if url := world.environment.get("DATABASE_URL"):
        import psycopg

        connection: Any = psycopg.connect(url)
    else:
        connection = sqlite3.connect(world.folder / "commits.sqlite3")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS bench_commits (id INTEGER, words TEXT)")
    connection.commit()
    done = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        connection.execute("INSERT INTO bench_commits VALUES (1, 'some words of a small row')")
        connection.commit()
        done += 1
    connection.execute("DROP TABLE bench_commits")
    connection.commit()
    connection.close()
    return done / passed


def in_a_process(world: "World", module: str, *arguments: Any) -> Any:
    """Runs `python -m MODULE` beside the queue's data; the JSON that it prints."""
    return json.loads(run_beside(world, module, *arguments))


def run_beside(world: "World", module: str, *arguments: Any) -> str:
    """Runs `python -m MODULE` beside the queue's data; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT, env=world.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} ended with exit status {done.returncode}")
    return done.stdout
