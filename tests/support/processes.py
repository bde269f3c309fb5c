"""Real processes: the queue under gunicorn with TLS, executors, clients; started and stopped."""

import fcntl
import functools
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import database, forks
from tests.support.forks import Done
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NVCC = os.environ.get("NVCC") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"

HELLO = '#include <cstdio>\nint main() { printf("hello %s\\n", "there"); return 0; }\n'


@functools.cache
def pythons() -> list[str]:
    """Every Python 3.8 or newer on this machine, one a minor version, oldest first."""
    places = [Path(folder) for folder in os.get_exec_path()]
    places += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    found: dict[tuple[int, int], str] = {}
    for name in ("python3", *(f"python3.{minor}" for minor in range(8, 20))):
        for place in places:
            if (place / name).is_file() and (version := _version(place / name)) >= (3, 8):
                found.setdefault(version, str(place / name))
    return [found[version] for version in sorted(found)]


def _version(python: Path) -> tuple[int, int]:
    told = subprocess.run(
        [python, "-Ic", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
    )
    if told.returncode:
        return (0, 0)
    major, minor = told.stdout.split()
    return int(major), int(minor)


@functools.cache
def has_sandbox() -> bool:
    """Whether bubblewrap is here and may make namespaces; the executor never runs it as root."""
    probe = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc"]
    nobody = {"user": 65534} if os.getuid() == 0 else {}
    try:
        return run([*probe, "true"], cwd="/", **nobody).status == 0
    except OSError:
        return False


def wait_for(what: Callable[[], Any], words: str, seconds: float = 60) -> Any:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {words}")
        time.sleep(0.02)
    return found


class Process:
    """A child process whose output is kept in a file."""

    def __init__(self, name: str, log: Path, argv: list[Any], **options: Any) -> None:
        self.name = name
        self.log = log
        self.said_before = self.told() if log.exists() else ""  # by an earlier start of it
        with open(log, "ab") as file:
            self.popen = subprocess.Popen(
                [str(a) for a in argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def told(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_told(self, words: str, times: int = 1, seconds: float = 60) -> None:
        def told() -> bool:
            if self.popen.poll() is not None and self.told().count(words) < times:
                raise AssertionError(f"{self.name} ended ({self.popen.returncode}): {self.told()}")
            return self.told().count(words) >= times

        wait_for(told, f"{self.name} says {words!r}; it said: {self.told()}", seconds)

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, of the process alone, and waits for its end."""
        self.send(signal.SIGKILL)
        self.popen.wait(30)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Asks it to stop and returns its exit status."""
        if self.popen.poll() is None:
            self.send(number)
        return self.popen.wait(seconds)


class NewQueue(NamedTuple):
    """Copied for every world: a certificate, tables, and nobody in them."""

    data: Path
    database: str  # on PostgreSQL, the one to copy


@functools.cache
def new_queue() -> NewQueue:
    """Made once in a run, by whichever process needs it first."""
    place = database.SHARED / "new-queue"
    with open(database.SHARED / "new-queue.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = place / "made"
        if not made.exists():
            world = World(place)
            world.begin()
            made.write_text(world.environment.get("DATABASE_URL", "").rpartition("/")[2])
        return NewQueue(place / "queue", made.read_text())


class World:
    """A queue in a folder of its own, with its users, executors and clients."""

    def __init__(self, folder: Path, **environment: Any) -> None:
        self.folder = folder
        self.data = folder / "queue"
        self.port = free_port()
        self.server_url = f"https://localhost:{self.port}"
        self._more = environment
        self.processes: list[Process] = []
        self.server: Process

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """Of all its processes. A world that is not entered has an empty database."""
        return self._environment(database.new_url)

    def _environment(self, new_url: Callable[[], str]) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TELERUN_")}
        inherited.pop("DJANGO_SETTINGS_MODULE", None)
        inherited.pop("DATABASE_URL", None)
        environment = {
            **inherited,
            "TELERUN_DATA_DIR": str(self.data),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: str(value) for name, value in self._more.items()},
        }
        if "DATABASE_URL" not in environment and (url := new_url()):
            environment["DATABASE_URL"] = url
        return environment

    def __enter__(self) -> "World":  # noqa: PYI034  (Self came with Python 3.11)
        if "DATABASE_URL" in self._more:
            self.begin()
        else:
            template = new_queue()
            shutil.copytree(template.data, self.data, dirs_exist_ok=True)
            self.environment = self._environment(lambda: database.new_url(template.database))
        return self

    def begin(self) -> None:
        """Its certificate and its tables, by the commands that an operator gives."""
        self.manage("telerun_certificate", "localhost", "127.0.0.1")
        self.manage("telerun_db", "init-db")

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.kill()
        wait_for(lambda: not survivors(self.folder), "no process is left", 15)

    # --- The queue ---

    def manage(self, *arguments: Any, check: bool = True, **options: Any) -> Done:
        """`manage.py ARGUMENTS`, for this queue."""
        done = run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, **options
        )
        if check:
            assert done.status == 0, done.err
        return done

    def aside(self, *arguments: Any, check: bool = True) -> Done:
        """As `manage`, but a fork of a process that has imported everything: for what a test needs
        and is not about."""
        done = forks.run(arguments, self.environment)
        if check:
            assert done.status == 0, done.err
        return done

    def start_server(
        self, *arguments: Any, prefix: tuple[str, ...] = (), **environment: Any
    ) -> Process:
        """Starts the queue, by way of `prefix`, and returns once it listens."""
        self.server = Process(
            "server",
            self.folder / "server.log",
            [*prefix, sys.executable, "-m", "submission_queue.main", "--bind", "127.0.0.1",
             "--port", self.port, *arguments],
            cwd=ROOT / "queue",
            env={**self.environment, **{k: str(v) for k, v in environment.items()}},
        )  # fmt: skip
        self.processes.append(self.server)
        before = self.server.said_before.count("listens on")
        self.server.wait_until_told("listens on", before + 1)
        return self.server

    def kill_server(self) -> None:
        """kill -9 of the server and all its processes, as a power cut would."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.popen.wait(30)

    def user(self, name: str) -> Path:
        """A new user's auth.json."""
        token = self.aside("telerun_auth", "create-user", name).out.split()[-1]
        return self.auth("username", name, token)

    def users(self, count: int) -> list[Path]:
        """Many users, made at once."""
        script = (
            "from accounts.operations import create_user\n"
            f"for n in range({count}): print(create_user(f'student{{n:03}}', 'test')[1])"
        )
        tokens = self.aside("shell", "-v0", "-c", script).out.split()
        return [self.auth("username", f"student{n:03}", t) for n, t in enumerate(tokens)]

    def executor(self, name: str) -> Path:
        """A new executor's auth.json."""
        token = self.aside("telerun_auth", "create-executor", name).out.split()[-1]
        return self.auth("executor", name, token)

    def auth(self, kind: str, name: str, token: str, **more: Any) -> Path:
        content = {
            kind: name,
            "token": token,
            "server": self.server_url,
            "certificate": str(self.data / "server.cert"),
            **more,
        }
        path = self.folder / f"{kind}-{name}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path

    # --- Executors and clients ---

    def start_executor(
        self,
        auth: Path,
        *arguments: Any,
        compile: int = 1,  # noqa: A002
        execute: int = 1,
        python: str = sys.executable,
        nvcc: str | Path = NVCC,
        sandbox: str | None = None,
        gpus: bool = False,
        script: Path = ROOT / "executor.py",
        prefix: tuple[Any, ...] = (),
        **environment: Any,
    ) -> Process:
        """Starts executor.py, by way of `prefix`, and returns once it is up: with the real nvcc in
        the sandbox, with a stub without, because a stub's programs are scripts that meddle with the
        test's folder. What a stub compiles is not kept, so that it runs each time. `gpus`: it has
        some."""
        if sandbox is None:
            wanted = has_sandbox() or os.environ.get("CI") == "true"
            sandbox = "bubblewrap" if nvcc == NVCC and wanted else "none"
        process = Process(
            auth.stem,
            self.folder / f"{auth.stem}.log",
            [*prefix, python, script, "--nproc-compile", compile, "--nproc-execute", execute,
             "--auth", auth, "--scratch-dir", self.folder / "scratch", "--nvcc", nvcc,
             "--min-free-mib", "16", "--sandbox", sandbox, *([] if gpus else ["--no-gpu"]),
             "--compile-cache", 64 if nvcc == NVCC else 0, *arguments],
            env={**self.environment, **environment},
        )  # fmt: skip
        self.processes.append(process)
        before = process.said_before.count(" workers, queue ")
        process.wait_until_told(" workers, queue ", before + 1)
        return process

    def source(self, text: str | bytes, name: str = "prog.cu") -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def submit(self, auth: Path, file: Path | str, *arguments: Any, **options: Any) -> Done:
        """`submit.py FILE`, to its end, in this world's folder."""
        options = {"env": self.environment, "cwd": self.folder, **options}
        return run(self._submit_argv(auth, file, *arguments), **options)

    def start_submit(self, auth: Path, file: Path | str, *arguments: Any) -> Process:
        name = f"submit-{len(self.processes)}"
        process = Process(
            name,
            self.folder / f"{name}.log",
            self._submit_argv(auth, file, *arguments),
            env=self.environment,
            cwd=self.folder,
        )
        self.processes.append(process)
        return process

    def _submit_argv(self, auth: Path, file: Path | str, *arguments: Any) -> list[Any]:
        python = sys.executable
        if arguments and str(arguments[0]).startswith("python="):
            python, arguments = str(arguments[0]).removeprefix("python="), arguments[1:]
        return [python, ROOT / "submit.py", "--auth", auth, file, *arguments]

    def request(
        self, auth: Path, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """One API request over its own TLS connection: status, headers, JSON."""
        with self.connection() as connection:
            connection.request(
                method,
                f"/api/v1{path}",
                None if body is None else json.dumps(body),
                {
                    "Authorization": "Bearer " + json.loads(auth.read_text())["token"],
                    "Content-Type": "application/json",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
            answer = connection.getresponse()
            content = answer.read()
            return (
                answer.status,
                {k.lower(): v for k, v in answer.getheaders()},
                json.loads(content) if content else None,
            )

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=str(self.data / "server.cert"))
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=context
        )
        try:
            yield connection
        finally:
            connection.close()

    def audit_lines(self) -> list[dict[str, Any]]:
        """The audit file, brought up to the table: the server writes it a moment later."""
        self.aside("telerun_db", "init-db")
        text = (self.data / "audit_log.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def run(argv: list[Any], **options: Any) -> Done:
    """A command to its end, its output as text."""
    options = {"timeout": 120, "stdin": subprocess.DEVNULL, **options}
    done = subprocess.run([str(a) for a in argv], capture_output=True, check=False, **options)
    return Done(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


def survivors(folder: Path) -> list[str]:
    """Command lines of processes that have to do with `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder) in line or where.startswith(str(folder)):
            found.append(line)
    return found


def side_by_side(*functions: Callable[[], Any]) -> list[Any]:
    """Calls all at once, each in a thread, and returns what they return or raise."""
    results: list[Any] = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def call(place: int) -> None:
        barrier.wait()
        try:
            results[place] = functions[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=call, args=(n,)) for n in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None
