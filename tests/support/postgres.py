"""A PostgreSQL server of the tests' own: made, started, killed, started again, thrown away."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

with contextlib.suppress(ImportError):  # a GPU host that is checked has SQLite alone
    import psycopg


class Server:
    """One that runs on a port of this machine, whoever started it."""

    def __init__(self, port: int, prefix: str = "") -> None:
        """`prefix`: of the names of databases that are made here."""
        self.port = port
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        return f"postgres://{self.user}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a new database: empty, or a copy of another that nobody uses now."""
        name = f"{self._prefix}world{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(  # type: ignore[call-overload]
                f"CREATE DATABASE {name} TEMPLATE {template}"
            )
        return self.url(name)


def binaries() -> Path | None:
    """The folder with initdb and postgres, the newest version's; None where there is none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    found = [place for place in places if (place / "initdb").is_file()]
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class Postgres(Server):
    """One of our own, on a port of its own. It refuses to run as root: then it is `postgres`'s."""

    def __init__(self, folder: Path | None = None) -> None:
        """In a folder of its own; or in the one that is given, with its journal outside."""
        self._bin = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="telerun-postgres-"))
        self._data = (folder or self._folder) / "data"
        self._as: dict[str, Any] = {}
        super().__init__(free_port())
        if os.getuid() == 0:
            self._as = {"user": "postgres", "group": "postgres", "extra_groups": []}
            for place in {self._folder, self._data.parent}:
                shutil.chown(place, "postgres", "postgres")
        journal = ["-X", self._folder / "journal"] if folder else []
        self._run("initdb", "-D", self._data, "-A", "trust", "-E", "UTF8", "--no-locale", *journal)
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        assert self._bin
        subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._as,
        )  # fmt: skip

    def start(self) -> None:
        """Starts the server and returns once it answers."""
        assert self._bin
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "max_connections": 400,
        }
        settings = [part for k, v in options.items() for part in ("-c", f"{k}={v}")]
        with open(os.devnull, "wb") as nowhere:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), *settings],
                stdout=nowhere, stderr=nowhere, cwd=self._folder, start_new_session=True,
                **self._as,
            )  # fmt: skip
        for _ in range(600):
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise AssertionError("PostgreSQL did not start within a minute")

    def forget_about_crashes(self) -> None:
        """Writes nothing to the disk from now on; a crash may cost everything."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for setting in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")  # type: ignore[call-overload]
            connection.execute("SELECT pg_reload_conf()")

    def let_in_by_password(self, user: str, password: str) -> None:
        """From now on nobody gets in over TCP without a password."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")  # type: ignore[call-overload]
            (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        for _ in range(600):  # it reads the file a moment later
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                return
            time.sleep(0.01)
        raise AssertionError("PostgreSQL still lets everyone in")

    def kill(self) -> None:
        """kill -9 of the server and its backends, as a power cut would."""
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        backends = [int(pid) for pid in listed.read_text().split()]  # each leads a group of its own
        for pid in (self._process.pid, *backends):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stops at once, and throws the data away."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # a "fast" shutdown
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)
