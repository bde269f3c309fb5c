"""submit.py --doctor: each fault has a line, with what mends it, and nothing secret is shown."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accounts.tokens import USER_PREFIX, make
from telerun_site.certificates import make_self_signed
from tests.support.ports import free_port
from tests.support.processes import ROOT, World, pythons
from tests.support.scripts import load

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]
submit = load("submit")
GPU = {"nproc_execute": 1, "gpus": [], "platforms": [{"name": "cuda", "slots": 1}]}


class Examined:
    """What --doctor prints, for a folder with submit.py, auth.json and server.cert."""

    def __init__(self, world: World, auth: Path) -> None:
        self.world = world
        self.folder = world.folder / "laptop"
        self.folder.mkdir()
        self.auth = self.folder / "auth.json"
        self.auth.touch(0o600)
        self.content = {"username": "alice", "token": json.loads(auth.read_text())["token"]}
        self.certificate = self.folder / "server.cert"
        self.certificate.write_bytes((world.data / "server.cert").read_bytes())
        (self.folder / "submit.py").write_bytes((ROOT / "submit.py").read_bytes())
        self.write()

    def write(self, **members: Any) -> None:
        content = {"server": self.world.server_url, **self.content, **members}
        self.auth.write_text(json.dumps(content))

    def doctor(self, python: str = sys.executable, patch: str = "", **environment: str) -> Any:
        program = ["submit.py"]
        if patch:
            run = f"import submit; {patch}; submit.run_and_exit()"
            program = ["-c", f"import sys; sys.path.insert(0, ''); {run}"]
        done = subprocess.run(
            [python, *program, "--doctor"], cwd=self.folder, capture_output=True, timeout=120,
            env={**self.world.environment, "PYTHONIOENCODING": "utf-8",
                 "XDG_CONFIG_HOME": str(self.folder), **environment},
        )  # fmt: skip
        assert done.stderr.decode() == ""
        assert self.content["token"] not in done.stdout.decode()
        return done.returncode, done.stdout.decode()

    def wrong(self, name: str, **more: Any) -> tuple[int, str]:
        """The exit status, and the lines about the one thing that is wrong."""
        status, told = self.doctor(**more)
        lines = told.splitlines()
        assert [line for line in lines if line.startswith("✗")] != []
        first = next(n for n, line in enumerate(lines) if line.startswith("✗"))
        assert lines[first].startswith(f"✗ {name}: "), told
        return status, "\n".join(lines[first : first + 2])


@pytest.fixture
def well(world: World) -> Examined:
    """All is well: a host is there, as far as the queue knows."""
    alice, gpu1 = world.user("alice"), world.executor("gpu1")
    world.start_server(TELERUN_WORKERS=1)
    assert world.request(gpu1, "PUT", "/executor", GPU)[0] == 204
    return Examined(world, alice)


@pytest.mark.parametrize("python", [pythons()[0], pythons()[-1]])
def test_all_is_well(well: Examined, python: str) -> None:
    status, told = well.doctor(python)
    assert status == 0, told
    names = [line.split(":")[0] for line in told.splitlines() if line.startswith("✓")]
    assert names == [f"✓ {name}" for name in (
        "Python", "auth.json", "address", "connection", "clock", "certificate",
        "name and token", "submit.py", "queue", "hosts",
    )]  # fmt: skip
    assert "version 1.1, the same as the queue's" in told
    assert "cuda: 1 host" in told
    assert "\nAll is well.\n" in told


def test_where_there_is_nothing_but_ascii(well: Examined) -> None:
    status, told = well.doctor(PYTHONIOENCODING="ascii")
    assert status == 0
    assert told.isascii()
    assert "+ Python: " in told


def test_a_faulty_auth_json(well: Examined) -> None:
    well.auth.chmod(0o644)
    status, told = well.wrong("auth.json")
    assert status == 2
    assert "can be read by others" in told
    assert f"→ chmod 600 {well.auth}" in told
    assert "✓ hosts: " in well.doctor()[1]  # the rest is looked at nevertheless
    well.auth.chmod(0o600)
    for content, words in (
        (b"{", "is not valid JSON"),
        ("{}".encode("utf-16"), "is in UTF-16, as PowerShell's > writes it"),
        (b'{"username": "alice"}', 'lacks "token"'),
        (b'{"username": "tlru_SECRET", "token": "x"}', '"username" is a token, and no name.'),
    ):
        well.auth.write_bytes(content)
        status, told = well.wrong("auth.json")
        assert status == 2
        assert words in told
        assert "SECRET" not in told
    well.auth.unlink()
    assert f"There is no {well.auth}. With the log-in code" in well.wrong("auth.json")[1]


def test_a_faulty_address(well: Examined) -> None:
    for server, words in (
        ("https://u:p@q", "leave out the name or password"),
        ("http://localhost:1", "say https in place of http"),
    ):
        well.write(server=server)
        assert words in well.wrong("address")[1]
    well.write(server="https://no-such-host.invalid:4443")
    status, told = well.wrong("connection")
    assert status == 4
    assert "no host of the name no-such-host.invalid is known" in told
    well.write(server=f"https://localhost:{free_port()}")
    assert "does not answer: Connection refused" in well.wrong("connection")[1]


@contextmanager
def silent_peer() -> Iterator[int]:
    """Takes connections, and speaks no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    peer, _ = server.accept()
                    peer.sendall(b"SSH-2.0-OpenSSH_9\r\n")
                    peer.close()
            except OSError:  # the test is over
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_what_is_no_queue(well: Examined) -> None:
    with silent_peer() as port:
        well.write(server=f"https://127.0.0.1:{port}")
        status, told = well.wrong("connection")
    assert status == 4
    assert "takes connections, but is no queue" in told


def test_a_faulty_certificate(well: Examined) -> None:
    well.write(server=well.world.server_url.replace("localhost", "[::ffff:127.0.0.1]"))
    status, told = well.wrong("certificate")
    assert status == 4
    assert "it is not for this name of the server" in told
    well.write()
    well.certificate.unlink()
    told = well.wrong("certificate")[1]
    assert f"it is self-signed, and there is no server.cert in {well.folder}" in told
    make_self_signed(["localhost"], well.certificate, well.folder / "key")
    told = well.wrong("certificate")[1]
    assert f"it is another one than that in {well.certificate}" in told
    well.certificate.write_text("no certificate")
    assert f"{well.certificate} is not a readable certificate" in well.wrong("address")[1]


@pytest.mark.parametrize(
    ("seconds", "words"), [(3600, "seconds ahead of"), (-7200, "seconds behind")]
)
def test_a_clock_that_is_wrong(well: Examined, seconds: int, words: str) -> None:
    """With a stub for this machine's clock."""
    patch = f"import time; now = time.time; submit.time.time = lambda: now() + {seconds}"
    status, told = well.wrong("clock", patch=patch)
    assert status == 2
    assert words in told
    shown = int(re.search(r"is (\d+) seconds", told)[1])
    assert abs(shown - abs(seconds)) < 60


def test_a_wrong_name_or_token(well: Examined) -> None:
    well.write(username="bob")
    status, told = well.wrong("name and token")
    assert status == 3
    assert "The token is that of alice, and the username beside it is bob" in told
    assert "--login" in told
    well.write(token=make(USER_PREFIX))
    status, told = well.wrong("name and token")
    assert status == 3
    assert "The token is unknown" in told


def test_another_version(well: Examined) -> None:
    script = well.folder / "submit.py"
    text = script.read_text()
    script.write_text(text.replace('VERSION = "1.1"', 'VERSION = "0.9"'))
    status, told = well.wrong("submit.py")
    assert status == 2
    assert "version 0.9 is older than the queue's, 1.1." in told
    assert f"→ The newer one is at {well.world.server_url}/submit.py" in told
    script.write_text(text.replace('VERSION = "1.1"', 'VERSION = "1.2"'))
    status, told = well.doctor()
    assert status == 0
    assert "the queue is older" in told
    script.write_text(text + "# mine\n")
    assert "not quite the one at" in well.doctor()[1]


def test_no_host(world: World) -> None:
    alice = world.user("alice")
    world.start_server(TELERUN_WORKERS=1)
    status, told = Examined(world, alice).wrong("hosts")
    assert status == 3
    assert "No host is connected: jobs wait until one is." in told


def test_a_queue_that_takes_nothing() -> None:
    def answer(**members: Any) -> Any:
        return submit.Answer(200, {}, members)

    with pytest.raises(submit.Wrong) as wrong:
        submit.about_state(answer(accepting=False, message="Until Monday.\x1b[2J"))
    assert wrong.value.mend == "Until Monday.\x1b[2J"  # spelled out when it is printed
    with pytest.raises(submit.Wrong):
        submit.about_state(answer(accepting=True, starting=False))
    hosts = [{"name": "cuda", "executors": 1, "gpus": 0}]
    assert "The hosts of cuda have no GPU" in submit.about_hosts(answer(platforms=hosts))
    # --status says the same.
    for members in ({"accepting": False}, {"starting": False}, {"platforms": []}):
        about = submit.about_hosts if "platforms" in members else submit.about_state
        with pytest.raises(submit.Wrong) as wrong:
            about(answer(**members))
        assert str(wrong.value) in submit.queue_lines(members, [])
    older = submit.Answer(404, {}, {})
    assert "older" in submit.about_state(older)
    assert "does not say" in submit.about_hosts(older)
    for odd in (None, [], "x", [5], [{}], [{"executors": "3"}], [{"executors": 0}]):
        with pytest.raises(submit.Wrong):
            submit.about_hosts(answer(platforms=odd))


def test_python_without_authorities_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """By simulation: python.org's Python before "Install Certificates.command" was run."""
    error = submit.ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"
    monkeypatch.setattr(submit.sys, "platform", "darwin")
    places = submit.ssl.get_default_verify_paths()._replace(cafile=None, capath=None)
    monkeypatch.setattr(submit.ssl, "get_default_verify_paths", lambda: places)
    what, mend = submit.why_untrusted(error, [], Path("/x"))
    assert what == "this Python knows no certificate authorities."
    assert mend.startswith('Run "Install Certificates.command"')
    monkeypatch.setattr(submit.ssl, "get_default_verify_paths", lambda: places._replace(cafile="/"))
    assert "no server.cert in /x" in submit.why_untrusted(error, [], Path("/x"))[0]


@pytest.mark.parametrize(("code", "words"), [(10, "it has expired, by"), (9, "not valid yet, by")])
def test_dates_of_a_certificate(code: int, words: str) -> None:
    error = submit.ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "x"
    assert words in submit.why_untrusted(error, [], Path("/x"))[0]


def test_how_many_seconds_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    date = "Mon, 30 Nov 2026 12:00:00 GMT"
    noon = 1796040000.0
    for now, wanted in ((noon, 0), (noon + 0.9, 0), (noon + 90, 89), (noon - 90, -90)):
        monkeypatch.setattr(submit.time, "time", lambda now=now: now + 0.5)
        assert abs(submit.ahead(date, now) - wanted) <= 2
    for odd in (None, "", "x", "Mon, 99 Nov 2026 12:00:00 GMT"):
        assert submit.ahead(odd, noon) is None


assert os.name == "posix"  # else nothing can be said of who may read a file
