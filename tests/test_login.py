"""submit.py --login against a real queue, over real TLS, on the oldest and the newest Python."""

import http.server
import json
import os
import pty
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accounts import login_code_text
from telerun_site.certificates import make_self_signed
from tests.support.ports import free_port
from tests.support.processes import ROOT, Done, World, pythons, run, side_by_side, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]
OLDEST_AND_NEWEST = [pythons()[0], pythons()[-1]]


class Laptop:
    """A home, with submit.py and nothing else."""

    def __init__(self, world: World, python: str = sys.executable) -> None:
        self.folder = world.folder / "laptop"
        self.folder.mkdir()
        self.own = self.folder / "settings/telerun"
        self.script = self.folder / "submit.py"
        self.script.write_bytes((ROOT / "submit.py").read_bytes())
        self.python = python
        self.environment = {**world.environment, "XDG_CONFIG_HOME": str(self.own.parent)}

    def submit(self, *arguments: Any, given: str = "") -> Done:
        done = subprocess.run(
            [self.python, str(self.script), *map(str, arguments)], input=given.encode(),
            capture_output=True, cwd=self.folder, env=self.environment, timeout=120,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode()).no_traceback()

    @property
    def auth(self) -> dict[str, str]:
        return json.loads((self.own / "auth.json").read_text())


@pytest.fixture
def queue(world: World) -> World:
    world.user("alice")
    world.start_server(TELERUN_WORKERS=1)
    return world


@pytest.fixture
def laptop(world: World) -> Laptop:
    return Laptop(world)


def code(world: World, name: str = "alice", **more: Any) -> str:
    options = {"server": world.server_url, **more}
    words = [f"--{key}={value}" for key, value in options.items()]
    found = re.search(r": (tlrc_\w+)$", world.aside("telerun_auth", "login-code", name, *words).out)
    assert found
    return found[1]


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_with_nothing_but_submit_and_a_code(queue: World, python: str) -> None:
    laptop, word = Laptop(queue, python), code(queue)
    done = laptop.submit("--login", given=word[:40] + " " + word[40:] + "\n")
    assert done.status == 0, done.err
    assert done.out == ""
    assert f"Logged in to {queue.server_url} as alice." in done.err
    for path, mode in ((laptop.own, 0o700), (laptop.own / "auth.json", 0o600)):
        assert path.stat().st_mode & 0o777 == mode
    assert laptop.auth["server"] == queue.server_url
    made, ours = (laptop.own / "server.cert").read_text(), (queue.data / "server.cert").read_text()
    assert ssl.PEM_cert_to_DER_cert(made) == ssl.PEM_cert_to_DER_cert(ours)
    assert laptop.auth["token"] not in done.err
    (laptop.folder / "a.cu").write_text("int main() {}")
    again = laptop.submit("--cancel", "1")
    assert "You have no job 1" in again.err
    replay = laptop.submit("--login", given=word)
    assert replay.status == 3
    assert "used already" in replay.err
    assert laptop.submit("--cancel", "1").status == 3  # and who one was one still is


def test_a_code_that_was_redeemed_and_whose_token_was_lost(queue: World, laptop: Laptop) -> None:
    """The laptop's disk was full: the folder cannot be made."""
    word = code(queue)
    laptop.own.parent.write_text("not a folder")
    done = laptop.submit("--login", given=word)
    assert done.status == 2
    assert "cannot be made" in done.err
    laptop.own.parent.unlink()
    assert laptop.submit("--login", given=word).status == 0


def test_two_who_log_in_at_once(queue: World, laptop: Laptop) -> None:
    """With one code: each is served or told, and whoever is in stays in."""
    word = code(queue)
    paths = [laptop.folder / f"{n}.json" for n in range(2)]
    told = side_by_side(
        *(lambda p=p: laptop.submit("--login", "--auth", p, given=word) for p in paths)
    )
    assert sum(done.status == 0 for done in told) in (1, 2)
    works = [laptop.submit("--auth", path, "--cancel", 1) for path in paths if path.exists()]
    assert sum("You have no job 1" in done.err for done in works) == 1


def test_what_is_there_is_kept_aside_and_beside_the_script_wins(
    queue: World, laptop: Laptop
) -> None:
    queue.aside("telerun_auth", "create-user", "bob")
    assert laptop.submit("--login", given=code(queue)).status == 0
    first = laptop.auth
    elsewhere = laptop.folder / "elsewhere.json"
    (laptop.own / "auth.json").rename(elsewhere)
    (laptop.own / "auth.json").symlink_to(elsewhere)
    assert laptop.submit("--login", given=code(queue, "bob")).status == 0
    assert json.loads(elsewhere.read_text()) == first  # a link is not followed
    second = laptop.auth
    assert second["username"] == "bob"
    done = laptop.submit("--login", given=code(queue))
    assert f"There was another {laptop.own / 'auth.json'}: it is auth.json.old now." in done.err
    old = laptop.own / "auth.json.old"
    assert json.loads(old.read_text()) == second
    assert old.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in laptop.own.iterdir()) == [
        "auth.json", "auth.json.old", "server.cert",
    ]  # fmt: skip
    beside = laptop.folder / "auth.json"
    beside.touch(0o600)
    beside.write_text(json.dumps({**second, "certificate": str(laptop.own / "server.cert")}))
    assert f"But {beside} comes first" in laptop.submit("--login", given=code(queue)).err
    doctor = laptop.submit("--doctor")
    assert f"{beside}, of bob" in doctor.out
    doctor = laptop.submit("--doctor", "--auth", laptop.own / "auth.json")
    assert f"{laptop.own / 'auth.json'}, of alice" in doctor.out


def test_with_a_token(queue: World, laptop: Laptop) -> None:
    """Which is asked for unseen, too; the certificate lies beside the script."""
    token = json.loads((queue.folder / "username-alice.json").read_text())["token"]
    given = f"{token}\n{queue.server_url}\nalice\n"
    done = laptop.submit("--login", given=given)
    assert done.status == 4
    assert "there is no server.cert in" in done.err
    (laptop.folder / "server.cert").write_bytes((queue.data / "server.cert").read_bytes())
    assert laptop.submit("--login", given=given).status == 0
    done = laptop.submit("--login", given=given.replace("alice", "bob"))
    assert done.status == 3
    assert "The token is that of alice, and the username beside it is bob" in done.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "Nothing was given, and nothing is changed."),
        ("\n", "Nothing was given, and nothing is changed."),
        ("tlrc_nonsense\n", "mistyped or cut off"),
        ("hello\n", "mistyped or cut off"),
        ("tlre_" + "a" * 36, "a GPU host's token"),
        ("\udcff\n", "mistyped or cut off"),
    ],
)
def test_what_is_no_code(world: World, laptop: Laptop, given: str, words: str) -> None:
    done = subprocess.run(
        [laptop.python, str(laptop.script), "--login"], cwd=laptop.folder, env=laptop.environment,
        input=given.encode("utf-8", "surrogateescape"), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1
    assert not laptop.own.exists()


def test_a_code_that_is_no_longer_good(queue: World, laptop: Laptop) -> None:
    word = code(queue)
    expire = (
        "from accounts.models import LoginCode; from django.utils import timezone;"
        "LoginCode.objects.update(expires_at=timezone.now())"
    )
    queue.aside("shell", "-v0", "-c", expire)
    done = laptop.submit("--login", given=word)
    assert done.status == 3
    assert "expired on" in done.err
    word = code(queue)
    queue.aside("telerun_auth", "revoke-user-token", "alice")
    done = laptop.submit("--login", given=word)
    assert done.status == 3
    assert "no log-in code of this queue" in done.err
    assert not laptop.own.exists()


def test_a_secret_in_the_command_is_refused(world: World, laptop: Laptop) -> None:
    secrets = (
        login_code_text.encode(bytes(16), "q:1", bytes(16)), "tlru_" + "aB3" * 12,
    )  # fmt: skip
    for secret in secrets:
        for words in (["--login", secret], [secret], [f"--login={secret}"]):
            done = laptop.submit(*words)
            assert done.status == 2
            assert "does not belong into a command" in done.err
            assert secret[5:] not in done.err + done.out


# --- Somebody else in the queue's place --------------------------------------------------


class StubQueue(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told, and answers what it has: statuses and documents, in turn."""

    def do_POST(self) -> None:
        self.server.told.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    def do_GET(self) -> None:
        if not self.server.answers:
            self.send_error(404)
            return
        status, document = self.server.answers.pop(0)
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def another_server(
    folder: Path, *names: str, answers: tuple[tuple[int, Any], ...] = ()
) -> Iterator[tuple[int, list[bytes], list[bool]]]:
    """Its port, what it is told, and whether each that connected completed the handshake."""
    certificate, key = folder / "other.cert", folder / "other.key"
    make_self_signed(names or ("localhost",), certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = free_port()
    with http.server.HTTPServer(("127.0.0.1", port), StubQueue) as server:
        server.told, connected = [], []
        server.answers = list(answers)

        def get_request() -> Any:
            peer, address = server.socket.accept()
            connected.append(True)
            return context.wrap_socket(peer, server_side=True), address

        server.get_request = get_request
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield port, server.told, connected
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_code_is_not_sent_to_another_certificate(world: World, python: str) -> None:
    laptop = Laptop(world, python)
    with another_server(world.folder) as (port, told, connected):
        word = code_for(world, port)
        done = laptop.submit("--login", given=word)
        assert done.status == 4
        assert "its certificate is another one. The code was not sent." in done.err
        assert connected
        assert told == []
    assert not laptop.own.exists()


def code_for(world: World, port: int) -> str:
    """One of the world's queue, which is said to be at another port."""
    world.user("alice")
    return code(world, server=f"https://localhost:{port}")


ESCAPES = "\x1b]0;harm\x07\x1b[2J"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(403, {"detail": f"no{ESCAPES}"})], r"no\x1b]0;harm\x07\x1b[2J"),
        (
            [(200, {"username": "a", "token": "t"}), (401, {"detail": f"no{ESCAPES}"})],
            r"no\x1b]0;harm\x07\x1b[2J",
        ),
        (
            [(200, {"username": f"a{ESCAPES}", "token": "t"}), (200, {"username": f"a{ESCAPES}"})],
            r"as a\x1b]0;harm\x07\x1b[2J.",
        ),
    ],
    ids=["refused", "its token refused", "a name"],
)
def test_what_it_answers_is_text(
    world: World, laptop: Laptop, answers: list[Any], words: str
) -> None:
    """A code may come from anybody, and lead anywhere; the terminal acts on nothing from there."""
    with another_server(world.folder, answers=tuple(answers)) as (port, _, _):
        pem = (world.folder / "other.cert").read_text()
        pin = login_code_text.pin_of(ssl.PEM_cert_to_DER_cert(pem))
        word = login_code_text.encode(bytes(16), f"localhost:{port}", pin)
        done = laptop.submit("--login", given=word)
    assert words in done.err
    assert "\x1b" not in done.err


def test_without_a_pin_the_system_decides(world: World, laptop: Laptop) -> None:
    with another_server(world.folder) as (port, told, connected):
        word = login_code_text.encode(bytes(16), f"localhost:{port}", None)
        done = laptop.submit("--login", given=word)
        assert done.status == 4
        assert "is not trusted: it is self-signed" in done.err
        assert connected
        assert told == []


def test_the_names_in_the_certificate_count_too(world: World, laptop: Laptop) -> None:
    """The pin is right, but the code names the queue otherwise than its certificate does."""
    world.user("alice")
    world.start_server(TELERUN_WORKERS=1)
    word = code(world, server=f"https://[::ffff:127.0.0.1]:{world.port}")
    done = laptop.submit("--login", given=word)
    assert done.status == 4
    assert "it is not for this name of the server" in done.err
    done = laptop.submit("--login", "--server", f"https://127.0.0.1:{world.port}", given=word)
    assert done.status == 0, done.err
    assert laptop.auth["server"] == f"https://127.0.0.1:{world.port}"


def test_nobody_there(world: World, laptop: Laptop) -> None:
    word = login_code_text.encode(bytes(16), f"localhost:{free_port()}", bytes(16))
    done = laptop.submit("--login", given=word)
    assert done.status == 4
    assert "does not answer: Connection refused" in done.err
    assert "say --login again" in done.err


# --- On a terminal -----------------------------------------------------------------------


class Terminal:
    """submit.py --login on a terminal of its own."""

    def __init__(self, laptop: Laptop) -> None:
        self.out = b""
        pid, self._ours = pty.fork()
        if pid == 0:
            os.chdir(laptop.folder)
            os.execve(
                laptop.python, [laptop.python, str(laptop.script), "--login"], laptop.environment
            )
        self._pid = pid
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 4096):
                self.out += data
        except OSError:  # so ends a terminal
            pass

    def type(self, data: bytes) -> None:
        wait_for(lambda: b"not shown" in self.out, "it asks")
        os.write(self._ours, data)

    def wait(self) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._reader.join()
        os.close(self._ours)
        return status


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_code_is_not_shown_on_the_terminal(queue: World, python: str) -> None:
    laptop, word = Laptop(queue, python), code(queue)
    terminal = Terminal(laptop)
    terminal.type(word.encode() + b"\n")
    assert terminal.wait() == 0, terminal.out
    assert word.encode() not in terminal.out
    assert b"as alice." in terminal.out
    assert laptop.auth["username"] == "alice"


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [(b"\x03", 130, b"Interrupted."), (b"\x04", 2, b"Nothing was given")],
)
def test_who_thinks_better_of_it(
    world: World, laptop: Laptop, key: bytes, status: int, words: bytes
) -> None:
    terminal = Terminal(laptop)
    terminal.type(key)
    assert terminal.wait() == status, terminal.out
    assert words in terminal.out
    assert b"Traceback" not in terminal.out
    assert not laptop.own.exists()


def test_where_it_is_kept_on_windows(world: World, laptop: Laptop) -> None:
    """By simulation: os.name is said to be Windows'."""
    patch = (
        f"import sys; sys.path.insert(0, {str(laptop.folder)!r}); import submit, os;"
        "submit.Path = lambda *parts: '/'.join(parts);"  # there is none of Windows here
        "os.name = 'nt'; folder = submit.own_folder; os.environ['APPDATA'] = '/a/Roaming';"
        "found = str(folder()); os.environ['APPDATA'] = 'not absolute'; other = str(folder());"
        "os.name = 'posix'; print(found, other)"
    )
    told = run([sys.executable, "-c", patch], env=laptop.environment)
    assert told.out.split() == ["/a/Roaming/telerun", os.path.expanduser("~/.config/telerun")]
