"""No secret lies where it does not belong: all files, logs and command lines of a run."""

import http.cookiejar
import json
import os
import re
import resource
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.tokens import USER_PREFIX, make
from tests.support.processes import HELLO, ROOT, World, wait_for
from tests.support.stubs import fake_nvcc

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

DATABASE = "queue/db.sqlite3*"
# What may lie where, by design. Files that a person keeps (auth.json) are not looked at.
ALLOWED: dict[str, tuple[str, ...]] = {
    "a lease token": (DATABASE, "scratch/*/spool/*"),  # it is worth nothing once the lease is over
    "a session's key": (DATABASE,),  # Django's own; who reads the database can read everything
    "the secret key": ("queue/secret_key",),
    "a token": (),
    "a log-in code": (),
    "a password": (),
    "a secret of the students' page": ("telerun-out/*",),  # the link that a terminal opens
}


class Staff:
    """A browser, as far as logging in and sending forms goes."""

    def __init__(self, world: World) -> None:
        self._server = world.server_url
        context = ssl.create_default_context(cafile=str(world.data / "server.cert"))
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def get(self, path: str) -> str:
        with self._opener.open(self._server + path) as answer:
            return answer.read().decode()

    def post(self, path: str, **form: str) -> str:
        page = self.get(path)
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found
        data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": found[1]}).encode()
        request = urllib.request.Request(
            self._server + path, data, {"Referer": self._server + path}
        )
        with self._opener.open(request) as answer:
            return answer.read().decode()


class Sampler:
    """Everything that the machine's process list has shown, again and again."""

    def __init__(self) -> None:
        self.seen: dict[bytes, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    self._look(entry)

    def _look(self, entry: Path) -> None:
        for name in ("cmdline", "environ"):
            try:
                self.seen.setdefault((entry / name).read_bytes(), f"a {name}")
            except OSError:
                continue

    @contextmanager
    def at_work(self) -> Iterator["Sampler"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


def leaks(world: World, secrets: list[tuple[str, str]]) -> list[str]:
    """Where a secret lies that may not: in the files of the run."""
    kept = {world.folder / "auth"}
    found = []
    for path in sorted(world.folder.rglob("*")):
        if not path.is_file() or path.suffix == ".json" or kept & set(path.parents):
            continue
        content, name = path.read_bytes(), str(path.relative_to(world.folder))
        for kind, secret in secrets:
            if any(fnmatch(name, pattern) for pattern in ALLOWED[kind]):
                continue
            if secret.encode() in content:
                place = content.index(secret.encode())
                found.append(f"{kind} in {name}: {content[max(0, place - 60) : place]!r}")
    return found


def body_of(token: str) -> str:
    """A token without its prefix, by which it would be found too."""
    return token.partition("_")[2]


class Run:
    """A semester in a minute; `secrets` are those that it knows of."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secrets: list[tuple[str, str]] = []

    def token(self, auth: Path) -> str:
        token = json.loads(auth.read_text())["token"]
        self.secrets.append(("a token", body_of(token)))
        return token

    def play(self) -> None:
        world = self.world
        self.alice, self.gpu1 = world.user("alice"), world.executor("gpu1")
        self.token(self.alice)
        self.token(self.gpu1)
        self.password = world.manage("telerun_auth", "create-staff", "prof").out.split()[-1]
        self.secrets.append(("a password", self.password))
        world.start_server()
        self.programs()
        self.wrong_tokens()
        self.codes()
        self.page()
        self.admin()
        self.crash()
        self.kill()

    def programs(self) -> None:
        world = self.world
        executor = world.start_executor(self.gpu1)
        assert world.submit(self.alice, world.source(HELLO)).no_traceback().status == 0
        failing = world.source("int main() { return undeclared; }", "failing.cu")
        assert world.submit(self.alice, failing).no_traceback().status == 1
        assert executor.stop() == 0

    def wrong_tokens(self) -> None:
        """Mistyped, unknown, in the wrong place, and in a header that is none."""
        world = self.world
        token = json.loads(self.alice.read_text())["token"]
        for wrong in (make(USER_PREFIX), token[:-1] + "!"):
            auth = world.auth("username", "wrong", wrong)
            self.secrets.append(("a token", body_of(wrong)[:-1]))
            done = world.submit(auth, world.source(HELLO))
            assert done.status == 3
            assert body_of(wrong)[:-1] not in done.out + done.err
        with world.connection() as connection:
            connection.connect()
            connection.sock.sendall(f"GET / HTTP/1.1\r\nBearer {token}\r\n\r\n".encode())
            assert b" 400 " in connection.sock.recv(4096)

    def codes(self) -> None:
        """One that is redeemed and used, and one that is refused."""
        world = self.world
        words = ("telerun_auth", "create-user", "frank", "--code", "--server", world.server_url)
        code = world.aside(*words).out.split()[-1]
        self.secrets.append(("a log-in code", code.partition("_")[2]))
        auth = world.folder / "frank.json"
        for given, status in ((code, 0), (code, 3), (code[:-9] + "aaaaaaaaa", 2)):
            argv = [sys.executable, ROOT / "submit.py", "--login", "--auth", auth]
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as login:
                told = login.communicate(given.encode(), 60)[1].decode()
            assert login.returncode == status, told
            assert code.partition("_")[2] not in told
        self.token(auth)

    def admin(self) -> None:
        staff = Staff(self.world)
        wrong = "a wrong password of prof"
        self.secrets.append(("a password", wrong))
        assert "correct username" in staff.post("/admin/login/", username="prof", password=wrong)
        assert "correct username" in staff.post("/admin/login/", username=wrong, password="x")
        login = "/admin/login/?next=/admin/"
        assert "Log out" in staff.post(login, username="prof", password=self.password)
        sessions = [c.value for c in staff.cookies if c.name == "sessionid"]
        self.secrets += [("a session's key", str(key)) for key in sessions]
        seen = staff.post("/admin/accounts/user/add/", names="bob\ncarol")
        digest = re.search(r'name="seen" value="(\w+)"', seen)
        assert digest
        page = staff.post(
            "/admin/accounts/user/add/", names="bob\ncarol", confirmed="1", seen=digest[1]
        )
        users = "/admin/accounts/user/"
        found = re.search(r'/user/(\d+)/change/">alice', staff.get(users))
        assert found
        now = timezone.now().isoformat()
        one = {"action": "issue_token", "_selected_action": found[1]}
        page += staff.post(users, **one, confirmed="1", shown_at=now)
        page += staff.post(users, action="make_login_code", _selected_action=found[1])
        codes = re.findall(r"<code>tlrc_(\w+)</code>", page)
        assert len(codes) == 1
        self.secrets.append(("a log-in code", codes[0]))
        tokens = re.findall(rf"{USER_PREFIX}(\w{{36}})", page)
        assert len(set(tokens)) == 3
        self.secrets += [("a token", token) for token in tokens]

    def page(self) -> None:
        """Logged in with a token, and by the link that a stub of a browser is asked to open."""
        student, token = Staff(self.world), json.loads(self.alice.read_text())["token"]
        assert "Your jobs" in student.post("/login", username="alice", token=token)
        kind = "a secret of the students' page"
        self.secrets += [(kind, str(c.value)) for c in student.cookies if "Host" in c.name]
        done = self.world.submit(
            self.alice, "--web", env={**self.world.environment, "BROWSER": "true"}
        )
        assert done.status == 0, done.err
        text = (self.world.folder / "telerun-out/open-page.html").read_text()
        secret = text.partition("#")[2].partition('"')[0]
        assert "Your jobs" in student.post("/link", secret=secret)
        self.secrets.append((kind, secret))
        self.secrets += [(kind, str(c.value)) for c in student.cookies if "Host" in c.name]
        assert [found for found, _ in self.secrets].count(kind) == 3

    def crash(self) -> None:
        """A row that cannot be read: a bug, as far as the server can tell."""
        auth = self.world.user("dave")
        self.token(auth)
        assert self.world.request(auth, "POST", "/jobs", {"source": "x"})[0] == 201
        with sqlite3.connect(self.world.data / "db.sqlite3") as database:
            never = "2026-99-99 00:00:00"
            database.execute("UPDATE jobs_job SET submitted_at = ? WHERE state = 'queued'", [never])
        database.close()
        assert self.world.request(auth, "GET", "/jobs")[0] == 500
        assert "Traceback" in self.world.server.told()
        with sqlite3.connect(self.world.data / "db.sqlite3") as database:
            database.execute("DELETE FROM jobs_job WHERE state = 'queued'")
        database.close()

    def kill(self) -> None:
        """Executor and server die in the middle of a job, with whatever they had in hand."""
        world = self.world
        erin = world.user("erin")
        self.token(erin)
        executor = world.start_executor(self.gpu1, nvcc=fake_nvcc(world.folder))
        file = world.source(f"touch {world.folder}/runs; sleep 60", "sleeps.cu")
        client = world.start_submit(erin, file)
        wait_for((world.folder / "runs").exists, "the program runs")
        executor.send(signal.SIGABRT)
        executor.popen.wait(30)
        client.kill()

    def more_secrets(self) -> list[tuple[str, str]]:
        """Those that only the queue's own files know."""
        with sqlite3.connect(self.world.data / "db.sqlite3") as database:
            leases = database.execute("SELECT lease_token FROM jobs_attempt").fetchall()
        database.close()
        assert len(leases) >= 3
        key = (self.world.data / "secret_key").read_text().strip()
        return [("the secret key", key), *(("a lease token", lease) for (lease,) in leases)]


@pytest.fixture
def cores() -> Iterator[None]:
    """Whoever is started may leave a core file, which holds all of its memory."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    most = resource.RLIM_INFINITY if os.getuid() == 0 else before[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    yield
    if os.getuid() == 0:
        resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.hardening
@pytest.mark.long(10)
@pytest.mark.usefixtures("cores")
def test_a_run_leaves_no_secret_where_it_does_not_belong(tmp_path: Path) -> None:
    with World(tmp_path) as world, Sampler().at_work() as sampler:
        run = Run(world)
        run.play()
        secrets = run.secrets + run.more_secrets()
        found = leaks(world, secrets)  # the journal is a file of its own while the server runs
        world.server.send(signal.SIGABRT)
        world.server.popen.wait(30)
    found += leaks(world, secrets)
    assert found == []
    shown = [
        f"{kind} in {where}"
        for kind, secret in secrets
        for content, where in sampler.seen.items()
        if secret.encode() in content
    ]
    assert shown == []
    assert any(b"submit.py" in line for line in sampler.seen)  # it did look
    cores = [*tmp_path.rglob("core*"), *(ROOT / "queue").glob("core*"), *ROOT.glob("core*")]
    assert [core for core in cores if core.is_file()] == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The test of the test: a secret in a log is found, one where it may be is not."""
    world = World(tmp_path)
    (tmp_path / "queue").mkdir()
    (tmp_path / "server.log").write_bytes(b"x tlru_SECRET y")
    (tmp_path / "queue/db.sqlite3-wal").write_bytes(b"\0LEASE\0")
    secrets = [("a token", "SECRET"), ("a lease token", "LEASE")]
    assert [leak.partition(":")[0] for leak in leaks(world, secrets)] == ["a token in server.log"]
    (tmp_path / "server.log").write_bytes(b"LEASE")
    assert [leak.partition(":")[0] for leak in leaks(world, secrets)] == [
        "a lease token in server.log"
    ]
