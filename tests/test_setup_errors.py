"""What a student is told who has put something in the wrong place, or saved it wrongly."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from telerun_site.certificates import make_self_signed
from tests.support.processes import ROOT, Done, World, pythons, run
from tests.support.stubs import fake_nvcc

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]
OLDEST_AND_NEWEST = [pythons()[0], pythons()[-1]]
CODE = "int main() { return 0; }\n"


def auth_in(folder: Path, **members: Any) -> Path:
    path = folder / "auth.json"
    path.touch(0o600)
    path.write_text(json.dumps({"username": "alice", "token": "x", **members}))
    return path


def submit(folder: Path, *arguments: Any, python: str = sys.executable) -> Done:
    """The copy of submit.py in that folder."""
    (folder / "submit.py").write_bytes((ROOT / "submit.py").read_bytes())
    (folder / "a.cu").write_text(CODE)
    environment = {"XDG_CONFIG_HOME": str(folder / "none")}
    words = [python, "submit.py", *(arguments or ["a.cu"])]
    return run(words, cwd=folder, env=environment).no_traceback()


# --- The certificate ---------------------------------------------------------------------


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_certificate_that_is_not_beside_the_script(
    world: World, tmp_path: Path, python: str
) -> None:
    world.start_server(TELERUN_WORKERS=1)
    folder = tmp_path / "laptop"
    folder.mkdir()
    auth_in(folder, server=world.server_url)
    done = submit(folder, python=python)
    assert done.status == 4
    assert done.err.splitlines() == [
        f"submit.py: The certificate of {world.server_url} is not trusted: it is self-signed, and "
        f"there is no server.cert in {folder} to compare it with. Put server.cert from the course "
        "staff there, beside this script."
    ]
    make_self_signed(["localhost"], folder / "server.cert", folder / "key")
    done = submit(folder, python=python)
    assert done.status == 4
    assert f"it is another one than that in {folder / 'server.cert'}." in done.err


# --- Files in UTF-16 ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_a_source_in_utf_16(tmp_path: Path, encoding: str, python: str) -> None:
    """`echo ... > b.cu` in PowerShell."""
    auth_in(tmp_path)
    (tmp_path / "b.cu").write_bytes(CODE.encode(encoding))
    done = submit(tmp_path, "b.cu", python=python)
    assert done.status == 2
    assert done.err.splitlines() == [
        "submit.py: b.cu is in UTF-16, as PowerShell's > writes it. Save it as UTF-8: in the "
        "editor, or with (Get-Content b.cu) | Set-Content -Encoding utf8 b.cu"
    ]
    (tmp_path / "a b.h").write_bytes(CODE.encode(encoding))
    (tmp_path / "c.cu").write_text('#include "a b.h"\n')
    done = submit(tmp_path, "c.cu", python=python)
    assert done.status == 2
    assert "c.cu:1: a b.h is in UTF-16" in done.err
    assert '(Get-Content "a b.h") |' in done.err


def test_what_only_looks_like_it(tmp_path: Path) -> None:
    auth_in(tmp_path)
    for content, words in ((b"\xff", "is not UTF-8 (byte 0)"), (b"x\0", "NUL byte at offset 1"),
                           (b"int x;\0int y;\0", "NUL byte at offset 6")):  # fmt: skip
        (tmp_path / "b.cu").write_bytes(content)
        assert words in submit(tmp_path, "b.cu").err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_an_auth_json_in_utf_16(tmp_path: Path, encoding: str, python: str) -> None:
    """For both scripts."""
    auth = auth_in(tmp_path)
    auth.write_bytes(auth.read_bytes().decode().encode(encoding))
    executor = [python, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1,
                "--no-gpu", "--sandbox", "none", "--nvcc", fake_nvcc(tmp_path), "--auth", auth,
                "--scratch-dir", tmp_path / "scratch", "--min-free-mib", 16]  # fmt: skip
    for done in (submit(tmp_path, python=python), run(executor, cwd=tmp_path).no_traceback()):
        assert done.status == 2
        assert len(done.err.splitlines()) == 1
        assert f"{auth} is in UTF-16, as PowerShell's > writes it." in done.err


# --- Whose token it is, and where it is kept ---------------------------------------------


def test_anothers_name_beside_the_token(world: World) -> None:
    """Refused before there is a job, in submit.py's own words for a refusal."""
    alice = json.loads(world.user("alice").read_text())["token"]
    world.user("bob")
    world.start_server(TELERUN_WORKERS=1)
    done = world.submit(world.auth("username", "bob", alice), world.source(CODE))
    assert done.status == 3
    assert done.err.splitlines() == [
        "submit.py: The token is that of alice, and the username beside it is bob: one of them is "
        "somebody else's."
    ]
    assert world.request(world.auth("username", "alice", alice), "GET", "/jobs")[2]["count"] == 0
    done = world.submit(world.auth("username", " Alice ", alice), "--cancel", 1)
    assert "You have no job 1" in done.err  # that is how one may write oneself


@pytest.mark.parametrize("name", ["\\udcff", "a\\nb", "\\u0000", "\\ud83d"])
def test_a_name_that_is_none(world: World, name: str) -> None:
    """It is refused by the queue, and breaks nothing on the way there."""
    auth = world.user("alice")
    world.start_server(TELERUN_WORKERS=1)
    auth.write_text(auth.read_text().replace('"alice"', f'"{name}"'))
    done = world.submit(auth, world.source(CODE)).no_traceback()
    assert done.status == 3
    assert done.err.startswith("submit.py: The token is that of alice")
    assert len(done.err.splitlines()) == 1


def test_no_auth_json_anywhere(tmp_path: Path) -> None:
    done = submit(tmp_path)
    assert done.status == 2
    assert done.err.splitlines() == [
        f"submit.py: There is no {tmp_path}/auth.json. With the log-in code from the course staff, "
        f"say: {sys.executable} submit.py --login"
    ]
    done = submit(tmp_path, "--auth", "other.json", "a.cu")
    assert done.status == 2
    assert "There is no other.json." in done.err
    assert f"say: {sys.executable} submit.py --login --auth other.json" in done.err
