"""The ground a fault is played on: a queue of its own, clients that keep account, the reckoning."""

import http.client
import json
import random
import re
import shutil
import signal
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.proxy import Proxy
from tests.support import database
from tests.support.postgres import Server
from tests.support.processes import Process, World, survivors, wait_for
from tests.support.stubs import fake_nvcc

STUDENTS, GPUS = 200, 50
RETRYABLE = (408, 425, 429, 502, 503, 504)  # not 500: that is never an answer
NEVER = ("Traceback", "database is locked", " 500 ", "Internal Server Error")

MAKE_ACCOUNTS = (
    "from accounts.operations import create_executor, create_user\n"
    f"for n in range({STUDENTS}): print(create_user(f'student{{n:03}}', 'test')[1])\n"
    f"for n in range({GPUS}): print(create_executor(f'gpu{{n:02}}', 'test')[1])\n"
)
FACTS = (
    "import json; from django.core.management import call_command\n"
    "from jobs.models import AuditEntry, Job\n"
    "print(json.dumps({'jobs': list(Job.objects.values_list('id', 'state')),"
    " 'keys': list(Job.objects.exclude(idempotency_key=None)"
    ".values_list('idempotency_key', 'id')),"
    " 'deleted': [job for entry in AuditEntry.objects.filter(action='jobs-deleted')"
    " for job in entry.request['jobs']],"
    " 'audit': list(AuditEntry.objects.order_by('id').values_list('id', flat=True))}))"
)


class Template:
    """A queue with its users and executors, made once and copied for every row."""

    def __init__(self, folder: Path, server: Server | None = None) -> None:
        """On PostgreSQL if a server is given."""
        self.server = server
        other = server and server is not database.server  # than that of all worlds
        more = {"DATABASE_URL": server.new_database()} if other else {}
        with World(folder, **more) as world:
            self.data = world.data
            self.url = world.environment.get("DATABASE_URL", "")
            tokens = world.aside("shell", "-v0", "-c", MAKE_ACCOUNTS).out.split()
            world.aside("telerun_db", "check")  # brings the audit file up to the table
        self.students, self.gpus = tokens[:STUDENTS], tokens[STUDENTS:]

    def copy_to(self, data: Path) -> None:
        """The queue's folder."""
        shutil.copytree(self.data, data, dirs_exist_ok=True)

    def new_url(self) -> dict[str, str]:
        """The environment that names a copy of the database; empty for SQLite."""
        if not self.server:
            return {}
        return {"DATABASE_URL": self.server.new_database(self.url.rpartition("/")[2])}


class Answer(NamedTuple):
    """Status, headers in lower case, and JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class Ground(World):
    """A queue of its own for one row. What does not hold is added to `violations`."""

    def __init__(
        self, folder: Path, template: Template, randomness: random.Random, **environment: Any
    ) -> None:
        limits = {"TELERUN_SUBMITS_PER_MINUTE": 0}  # rows submit faster than any student
        super().__init__(folder, **{**template.new_url(), **limits, **environment})
        self.template = template
        self.random = randomness
        self.violations: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.acknowledged: dict[str, int] = {}  # Idempotency-Key: job
        self.unsure = 0  # submits that may or may not have reached the queue
        self.disks: list[Any] = []
        self._clients: list[Client] = []
        self._cleanups: list[Callable[[], Any]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Ground":  # noqa: PYI034
        self.template.copy_to(self.data)
        self.students = [
            self.auth("username", f"student{n:03}", t) for n, t in enumerate(self.template.students)
        ]
        self.gpus = [
            self.auth("executor", f"gpu{n:02}", t) for n, t in enumerate(self.template.gpus)
        ]
        self.stub = fake_nvcc(self.folder)
        self.trust = ssl.create_default_context(cafile=str(self.data / "server.cert"))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            for client in self._clients:
                client.close()
            for clean in reversed(self._cleanups):
                clean()

    def afterwards(self, clean: Callable[[], Any]) -> None:
        """To be called at the very end, whatever happens."""
        self._cleanups.append(clean)

    def expect(self, holds: object, words: str) -> bool:
        """Notes a violation unless `holds`."""
        if not holds:
            with self._lock:
                self.violations.append(words)
        return bool(holds)

    # --- Clients ---

    def client(self, auth: Path, port: int | None = None) -> "Client":
        """Closed at the end, if not before."""
        client = Client(self, json.loads(auth.read_text())["token"], port or self.port)
        with self._lock:
            self._clients.append(client)
        return client

    def submit_direct(self, auth: Path, source: str, key: str = "", **members: Any) -> int:
        """Submits with a key of its own, as often as it takes; the job's id."""
        key = key or str(uuid.uuid4())
        with closing(self.client(auth)) as client:
            answer = client.persist(
                "POST", "/jobs", {"source": source, **members}, Idempotency_Key=key
            )
        self.expect(answer.status == 201, f"a submit was answered {answer}")
        return self.acknowledge(key, answer.body["id"])

    def acknowledge(self, key: str, job: int) -> int:
        """Keeps account of an id that a submitter was given: the same for the same key."""
        with self._lock:
            known = self.acknowledged.setdefault(key, job)
        self.expect(known == job, f"key {key} was acknowledged as job {known} and as {job}")
        return job

    def job(self, auth: Path, job: int) -> dict[str, Any]:
        with closing(self.client(auth)) as client:
            return client.persist("GET", f"/jobs/{job}").body

    def over(self, auth: Path, job: int, seconds: float = 60) -> dict[str, Any]:
        """The job, once it is over."""

        deadline = time.monotonic() + seconds
        known: dict[str, str] = {}
        with closing(self.client(auth)) as client:
            while True:
                answer = client.persist("GET", f"/jobs/{job}", Prefer="wait=5", **known)
                if answer.status == 200 and answer.body["state"] not in ("queued", "running"):
                    return answer.body
                known = {"If_None_Match": answer.headers["etag"]}
                if time.monotonic() > deadline:
                    raise AssertionError(f"job {job} is not over within {seconds} s: {answer.body}")

    @contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """A proxy before the queue."""
        with Proxy(self.port, self.data) as proxy:
            yield proxy

    def start_gpu(
        self,
        number: int,
        *arguments: Any,
        through: Proxy | None = None,
        scratch: Path | None = None,
        **more: Any,
    ) -> Process:
        """Starts executor gpuNN, with the stub compiler unless told otherwise."""
        log = self.folder / f"{self.gpus[number].stem}.log"
        if log.exists():  # what it says is to be what this start of it says
            log.rename(log.with_name(f"{log.stem}-{len(self.processes)}.log"))
        if scratch:
            arguments = ("--scratch-dir", scratch, *arguments)
        more.setdefault("nvcc", self.stub)
        if through:
            arguments = ("--server", through.url, *arguments)
        return self.start_executor(self.gpus[number], *arguments, **more)

    def program(self, name: str) -> "Program":
        return Program(self.folder / name)

    # --- The reckoning ---

    def settle(self) -> list[str]:
        """Stops everything, and says what does not hold of what must always hold."""
        self._stop_all()
        left = [line for line in survivors(self.folder) if "telerun_db" not in line]
        self.expect(not left, f"processes are left: {left}")
        self.expect(not strays(self.folder), f"children are left: {strays(self.folder)}")
        # What is kept on purpose is bounded: the sandbox's two files, the compile cache.
        left = [p for kind in ("jobs", "spool") for p in self.folder.glob(f"scratch*/*/{kind}/*")]
        left += self.folder.glob("scratch*/*/compiled/*.part")
        files = [str(path.relative_to(self.folder)) for path in left]
        self.expect(not files, f"files are left in scratch folders: {files}")
        self._check_logs()
        self._check_accounts()
        self.expect(not self.statuses[500], f"{self.statuses[500]} answers were 500")
        return self.violations

    def _stop_all(self) -> None:
        for process in self.processes:
            if process.name.startswith("executor") and process.popen.poll() is None:
                process.send(signal.SIGTERM)
        for process in self.processes:
            if process.name.startswith("executor"):
                status = _ended(process)
                if process.told() and status is None:
                    self.expect(False, f"{process.name} did not stop")
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.stop(seconds=30)

    def _check_logs(self) -> None:
        for log in sorted(self.folder.glob("*.log")):
            for number, text in enumerate(log.read_text(errors="replace").splitlines(), start=1):
                bad = [words for words in NEVER if words in text]
                if bad:
                    self.expect(False, f"{log.name}:{number}: {text[:300]}")
                    break

    def _check_accounts(self) -> None:
        """accepted = over + queued + running; each acknowledged id once; the file is whole."""
        lines = [line["id"] for line in self.audit_lines()]
        done = self.aside("shell", "-v0", "-c", FACTS, check=False)
        self.expect(done.status == 0, f"telerun_db check: {done.err.strip()[-2000:]}")
        facts = json.loads(done.out.partition("\n")[0])
        self.expect(
            lines == facts["audit"],
            f"the audit file ends at {lines[-1:]}, the table at {facts['audit'][-1:]}",
        )
        jobs = {job for job, _ in facts["jobs"]}
        told = set(self.acknowledged.values())
        for log in self.folder.glob("submit-*.log"):
            told |= {int(n) for n in re.findall(r"as job (\d+)\.", log.read_text(errors="replace"))}
        lost, unknown = told - jobs - set(facts["deleted"]), jobs - told
        self.expect(not lost, f"acknowledged, but not there: jobs {sorted(lost)}")
        self.expect(
            len(unknown) <= self.unsure, f"there, but never acknowledged: jobs {sorted(unknown)}"
        )
        keys = Counter(key for key, _ in facts["keys"])
        self.expect(
            max(keys.values(), default=1) == 1, f"keys with several jobs: {keys.most_common(3)}"
        )
        for key, job in facts["keys"]:
            known = self.acknowledged.get(key, job)
            self.expect(known == job, f"key {key} is job {job}, but was acknowledged as {known}")


def _ended(process: Process) -> int | None:
    """The exit status of an executor that was told to stop; at last by force, and then None."""
    for patience in (40, 10):
        try:
            return process.popen.wait(patience)
        except Exception:
            process.send(signal.SIGTERM)
    process.kill()
    return None


def strays(folder: Path) -> list[str]:
    """Processes that were started with `folder` in their environment, as slots are."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and bytes(folder) + b"/" in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


class Client:
    """One bearer's requests, over one TLS connection that is opened anew when it breaks."""

    def __init__(self, ground: Ground, token: str, port: int) -> None:
        self._ground, self._token, self._port = ground, token, port
        self._connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One try. Raises OSError or HTTPException if there is no answer."""
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "localhost", self._port, timeout=60, context=self._ground.trust
            )
        try:
            self._connection.request(
                method,
                f"/api/v1{path}",
                None if body is None else json.dumps(body),
                {
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/json",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self.close()
            raise
        self._ground.statuses[response.status] += 1
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, json.loads(content) if content else None)

    def persist(
        self, method: str, path: str, body: Any = None, seconds: float = 60, **headers: str
    ) -> Answer:
        """The same request until it gets an answer that counts."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.request(method, path, body, **headers)
                if answer.status not in RETRYABLE:
                    return answer
            except (OSError, http.client.HTTPException):
                answer = None
            if time.monotonic() > deadline:
                raise AssertionError(f"{method} {path} had no answer in {seconds} s: {answer}")
            time.sleep(0.1 + 0.3 * random.random())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- An executor's requests ---

    def claim(self, **headers: str) -> dict[str, Any] | None:
        """The claim's body, None if there is no job."""
        return self.persist("POST", "/claims", {}, **headers).body

    def finish(self, claimed: dict[str, Any], **members: Any) -> Answer:
        attempt = claimed["attempt"]
        report = {"lease_token": attempt["lease_token"], "outcome": "succeeded", **members}
        return self.persist("PUT", f"/attempts/{attempt['id']}/result", report)

    def beat(self, claimed: dict[str, Any], phase: str = "executing") -> Answer:
        attempt = claimed["attempt"]
        body = {"lease_token": attempt["lease_token"], "phase": phase}
        return self.persist("POST", f"/attempts/{attempt['id']}/heartbeat", body)

    def release(self, claimed: dict[str, Any]) -> Answer:
        attempt = claimed["attempt"]
        body = {"lease_token": attempt["lease_token"], "reason": "for the test"}
        return self.persist("POST", f"/attempts/{attempt['id']}/release", body)


class Program:
    """A shell script, "compiled" by the stub, whose runs can be counted, held and let go."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self, held_on: str = "*", first: str = "") -> str:
        """Notes that it runs and where, waits for `let_go` on that host, and says its host."""
        return (
            f'echo "$PWD $$" >>{self.path}.runs\n{first}\n'
            f"case $PWD in */{held_on}/*) until [ -e {self.path}.go ]; do sleep 0.1; done;; esac\n"
            'host=${PWD%/jobs/*}; echo "ran on ${host##*/}"\n'
        )

    def runs(self) -> list[tuple[str, int]]:
        """Where it ran, and its pid there; one for every time that it was started."""
        try:
            lines = Path(f"{self.path}.runs").read_text().splitlines()
        except FileNotFoundError:
            return []
        found = [re.match(r".*/scratch/([^/]+)/.* (\d+)$", line) for line in lines]
        return [(match[1], int(match[2])) for match in found if match]

    def wait_until_it_runs(self, times: int = 1) -> int:
        """Its pid."""
        wait_for(lambda: len(self.runs()) >= times, f"{self.path.name} runs", 30)
        return self.runs()[times - 1][1]

    def let_go(self) -> None:
        Path(f"{self.path}.go").touch()


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Its children and theirs; children are listed by the thread that started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found + [deeper for child in found for deeper in descendants(child)]


class Crowd:
    """Functions called at the same moment, each in a thread of its own."""

    def __init__(self, *functions: Callable[[], Any]) -> None:
        self._pool = ThreadPoolExecutor(len(functions))
        barrier = threading.Barrier(len(functions) + 1)

        def call(function: Callable[[], Any]) -> Any:
            barrier.wait()
            return function()

        self._futures: list[Future[Any]] = [self._pool.submit(call, f) for f in functions]
        barrier.wait()

    def results(self) -> list[Any]:
        """What they returned; raises what one of them raised."""
        try:
            return [future.result(120) for future in self._futures]
        finally:
            self._pool.shutdown()


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Calls all at once and returns what they return."""
    return Crowd(*functions).results()


def on_postgresql() -> bool:
    return database.ON_POSTGRESQL
