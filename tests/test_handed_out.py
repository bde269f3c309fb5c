"""The queue hands out submit.py and its certificate, and older ones are told of it."""

import hashlib
import json
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from foundation.client_script import client_script
from telerun_site.certificates import make_self_signed
from tests.support.admin import Https
from tests.support.api import SOURCE, Api
from tests.support.openapi import faults
from tests.support.processes import ROOT, Done, World, run
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")
SCRIPT = (ROOT / "submit.py").read_bytes()


def test_everyone_may_have_submit_py(db: None) -> None:
    answer = Https().get("/submit.py")
    assert answer.status_code == 200
    assert answer.content == SCRIPT
    assert answer["Content-Type"].startswith("text/x-python")
    assert answer["Content-Disposition"] == 'attachment; filename="submit.py"'
    etag = answer["ETag"]
    assert etag == f'"{hashlib.sha256(SCRIPT).hexdigest()}"'
    again = Https().get("/submit.py", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert Https().head("/submit.py").status_code == 200
    assert Https(enforce_csrf_checks=True).post("/submit.py").status_code == 405


def test_which_one_it_is(db: None) -> None:
    answer = Https().get("/api/v1/client")
    told = answer.json()
    assert told == {
        "version": submit.VERSION,
        "sha256": hashlib.sha256(SCRIPT).hexdigest(),
        "url": "/submit.py",
    }
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert faults("GET", "/api/v1/client", 200, headers, answer.content) == []


def test_everyone_may_have_the_certificate(db: None, tmp_path: Path, settings: Any) -> None:
    settings.TELERUN_CERTIFICATE = tmp_path / "server.cert"
    assert Https().get("/server.cert").status_code == 404
    settings.TELERUN_CERTIFICATE.write_text("no certificate")
    assert Https().get("/server.cert").status_code == 404
    settings.TELERUN_CERTIFICATE.unlink()
    make_self_signed(["localhost"], settings.TELERUN_CERTIFICATE, tmp_path / "server.key")
    own = settings.TELERUN_CERTIFICATE.read_bytes()
    assert Https().get("/server.cert").content == own
    settings.TELERUN_PUBLIC_CERTIFICATE = tmp_path / "proxy.pem"
    make_self_signed(["proxy"], settings.TELERUN_PUBLIC_CERTIFICATE, tmp_path / "proxy.key")
    assert Https().get("/server.cert").content == settings.TELERUN_PUBLIC_CERTIFICATE.read_bytes()


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
def test_a_key_in_the_same_file_is_not_handed_out(
    db: None, tmp_path: Path, settings: Any, is_first: bool
) -> None:
    certificate, key = tmp_path / "server.cert", tmp_path / "server.key"
    make_self_signed(["localhost"], certificate, key)
    parts = [key.read_bytes(), certificate.read_bytes(), certificate.read_bytes()]
    settings.TELERUN_PUBLIC_CERTIFICATE = tmp_path / "together.pem"
    settings.TELERUN_PUBLIC_CERTIFICATE.write_bytes(b"".join(parts if is_first else parts[::-1]))
    answer = Https().get("/server.cert").content
    assert b"PRIVATE" not in answer
    assert answer == 2 * certificate.read_bytes()


def test_who_submits_is_told_the_newest_version(as_alice: Api) -> None:
    answer = as_alice.post("/jobs", {"source": SOURCE})
    assert answer["Telerun-Client-Version"] == submit.VERSION == client_script().version


@pytest.mark.parametrize(
    ("theirs", "is_newer"),
    [("1.1", False), ("1.0", False), ("0.9", False), ("1", False), ("1.1.0.1", True),
     ("1.2", True), ("1.10", True), ("2", True), (None, False), ("", False), ("new", False),
     ("2.x", False), ("9" * 5000, False), ("\u0662", False), ("1.\u0662", False)],
)  # fmt: skip
def test_which_version_is_newer(theirs: Any, is_newer: bool) -> None:
    headers = {} if theirs is None else {"telerun-client-version": theirs}
    line = submit.hint_at_newer(submit.Answer(201, headers, {}), "https://q:1")
    assert line == ("A newer submit.py is at https://q:1/submit.py" if is_newer else "")


@pytest.mark.end_to_end
def test_an_older_submit_says_so_once_in_the_end(world: World) -> None:
    alice, gpu1 = world.user("alice"), world.executor("gpu1")
    world.start_server(TELERUN_WORKERS=1)
    older = world.folder / "submit.py"
    for version, is_said in (("1.0", True), (submit.VERSION, False)):
        older.write_text(SCRIPT.decode().replace('VERSION = "1.1"', f'VERSION = "{version}"'))
        done = finished(world, alice, gpu1, older)
        assert done.status == 0, done.err
        line = f"A newer submit.py is at {world.server_url}/submit.py"
        assert done.err.count(line) == is_said
        assert (done.err.splitlines()[-1] == line) == is_said
        assert "newer" not in done.out


def finished(world: World, alice: Path, gpu1: Path, script: Path) -> Done:
    """A job with that submit.py, to whose executor the test plays."""

    def work() -> None:
        claimed = {}
        while not claimed:
            claimed = world.request(gpu1, "POST", "/claims", {}, Prefer="wait=5")[2] or {}
        attempt = claimed["attempt"]
        report = {"lease_token": attempt["lease_token"], "outcome": "succeeded", "exit_code": 0}
        assert world.request(gpu1, "PUT", f"/attempts/{attempt['id']}/result", report)[0] == 200

    thread = threading.Thread(target=work)
    thread.start()
    argv = [sys.executable, script, "--auth", alice, world.source(SOURCE)]
    done = run(argv, cwd=world.folder, env=world.environment).no_traceback()
    thread.join()
    return done


@pytest.mark.end_to_end
def test_what_is_fetched_over_tls_is_what_runs(world: World) -> None:
    """As docs/students.md says: fetched, compared, run."""
    world.start_server(TELERUN_WORKERS=1)
    with world.connection() as connection:
        connection.request("GET", "/submit.py")
        fetched = connection.getresponse().read()
        connection.request("GET", "/api/v1/client")
        told = json.loads(connection.getresponse().read())
        connection.request("GET", "/server.cert")
        pem = connection.getresponse().read().decode()
    assert hashlib.sha256(fetched).hexdigest() == told["sha256"]
    ours = (world.data / "server.cert").read_text()
    assert ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert(ours)
    (world.folder / "fetched.py").write_bytes(fetched)
    done = run([sys.executable, world.folder / "fetched.py", "--help"])
    assert done.status == 0
    assert "--login" in done.out
