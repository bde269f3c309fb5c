"""Output files on their whole way: a real program, the sandbox and none, TLS, `submit.py`."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.proxy import Proxy
from tests.support.processes import World, pythons, wait_for
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = pytest.mark.end_to_end
EVERY_BYTE = bytes(range(256)) * 4096
WRITES = r"""#include <cstdio>
int main() {
    FILE *hello = fopen("out/hello.txt", "w");
    fputs("hello file\n", hello);
    fclose(hello);
    FILE *bytes = fopen("out/all bytes.bin", "wb");
    for (int n = 0; n < 4096 * 256; n++) fputc(n & 255, bytes);
    fclose(bytes);
    puts("written");
}
"""


NOT_THE_PROGRAMS = ("compile-log.txt", "execute-log.txt", ".telerun")


def saved(folder: Path) -> dict[str, bytes]:
    """What is there, but for the logs, and the record of what was saved."""
    paths = [path for path in folder.iterdir() if path.name not in NOT_THE_PROGRAMS]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize(("sandbox", "python"), [(None, pythons()[0]), ("none", pythons()[-1])])
def test_what_a_program_writes_to_out_comes_back(
    world: World, sandbox: str | None, python: str
) -> None:
    alice = world.user("alice")
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"), sandbox=sandbox, python=python)
    done = world.submit(alice, world.source(WRITES), f"python={python}")
    assert done.no_traceback().status == 0, done.err
    assert "--- program ---\nwritten\n--- job 1 succeeded" in done.out
    assert "Saved telerun-out/1/all bytes.bin (1 MiB).\n" in done.err
    assert "Saved telerun-out/1/hello.txt (11 bytes).\n" in done.err
    files = {"hello.txt": b"hello file\n", "all bytes.bin": EVERY_BYTE}
    assert saved(world.folder / "telerun-out/1") == files
    again = world.submit(alice, "--attach", 1, "--out", world.folder / "mine")
    assert again.status == 0, again.err
    assert saved(world.folder / "mine") == files
    assert executor.stop() == 0
    spool = world.folder / "scratch/gpu1/spool"
    wait_for(lambda: not list(spool.iterdir()), "the result is dropped once it is sent")


@pytest.mark.once
@pytest.mark.parametrize("sandbox", [None, "none"])
def test_what_does_not_come_back_is_told(tmp_path: Path, sandbox: str | None) -> None:
    limits = {"TELERUN_OUTPUT_FILES": 2, "TELERUN_OUTPUT_FILE_BYTES": 1 << 20}
    source = r"""#include <cstdio>
    #include <sys/stat.h>
    #include <unistd.h>
    static void make(const char *name, int size) {
        FILE *file = fopen(name, "w");
        for (int n = 0; n < size; n++) fputc('x', file);
        fclose(file);
    }
    int main() {
        make("out/1 fits", (1 << 20) - 10);
        make("out/2 too large", 11);
        make("out/3 fits", 10);
        make("out/4 too many", 0);
        mkdir("out/folder", 0755);
        make("out/folder/inner", 1);
        (void)!symlink("1 fits", "out/link");
        mkfifo("out/pipe", 0644);
        return 3;
    }
    """
    with World(tmp_path, **limits) as world:
        alice = world.user("alice")
        world.start_server()
        world.start_executor(world.executor("gpu1"), sandbox=sandbox)
        done = world.submit(alice, world.source(source))
        assert done.no_traceback().status == 1, done.err
        assert sorted(saved(tmp_path / "telerun-out/1")) == ["1 fits", "3 fits"]
        told = {line for line in done.err.splitlines() if line.startswith("Not saved")}
        assert told == {
            "Not saved: 2 too large: it has 11 bytes, and all files together may have 1 MiB.",
            "Not saved: 4 too many: no more than 2 files come back.",
            "Not saved: folder: it is a folder; only files in out/ itself come back.",
            "Not saved: link: it is a link.",
            "Not saved: pipe: it is no plain file.",
        }


@pytest.mark.once
@pytest.mark.parametrize("sandbox", [None, "none"])
def test_what_is_written_beside_the_program_is_told(world: World, sandbox: str | None) -> None:
    alice = world.user("alice")
    world.start_server()
    python = ("--python", "/usr/bin/python3")
    world.start_executor(world.executor("gpu1"), *python, sandbox=sandbox)
    source = r"""#include <cstdio>
    int main() {
        FILE *file = fopen("results.txt", "w");
        for (int n = 0; n < 12288; n++) fputc('x', file);
        FILE *odd = fopen("\x1b[2J", "w"), *input = fopen("input.txt", "a");
        return fputs("more", input) + fflush(NULL) < 0 || !odd;
    }
    """
    world.source("1 2 3", "input.txt")
    done = world.submit(alice, world.source(source), "--with", world.folder / "input.txt")
    assert done.no_traceback().status == 0, done.err
    assert (
        "\\x1b[2J (0 bytes) and results.txt (12 KiB) were written beside the program and are lost: "
        "write them to out/ to get them back.\n"
    ) in done.err
    world.source("", "helper.py")
    script = world.source("import helper; open('plot.png', 'w').write('x')", "plots.py")
    done = world.submit(alice, script, "--platform", "cuda")
    assert done.no_traceback().status == 0, done.err
    assert (
        "plot.png (1 byte) was written beside the program and is lost: "
        "write it to out/plot.png to get it back.\n"
    ) in done.err


# --- The student's side ------------------------------------------------------------------


def shell_executor(world: World, name: str = "gpu1", **more: Any) -> Any:
    return world.start_executor(
        world.executor(name), nvcc=fake_nvcc(world.folder, AS_SHELL), **more
    )


def test_nothing_of_the_students_is_written_over(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    shell_executor(world)
    mine = world.folder / "mine"
    mine.mkdir()
    (mine / "a").write_text("my own")
    source = world.source("echo one >out/a; echo two >out/b")
    done = world.submit(alice, source, "--out", mine)
    assert done.no_traceback().status == 6
    assert "job 1 succeeded" in done.out
    assert f"{mine}/a was not saved: another file of that name is there" in done.err
    assert "submit.py --attach 1 --out DIR" in done.err
    assert saved(mine) == {"a": b"my own", "b": b"two\n"}
    (mine / "a").unlink()
    again = world.submit(alice, "--attach", 1, "--out", mine)
    assert again.status == 0
    assert f"{mine}/b is there already." in again.err
    assert saved(mine) == {"a": b"one\n", "b": b"two\n"}


@pytest.mark.once
def test_a_folder_that_cannot_be_made_is_said(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    shell_executor(world)
    source = world.source("echo one >out/a; exit 3")
    done = world.submit(alice, source, "--out", source / "below")
    assert done.no_traceback().status == 2  # nothing was sent
    assert "Not a directory." in done.err


@pytest.mark.once
def test_a_program_without_files_leaves_its_logs(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    shell_executor(world)
    done = world.submit(alice, world.source("echo hello"))
    assert done.status == 0
    assert "aved" not in done.err
    assert "The logs are in telerun-out/1.\n" in done.err
    folder = world.folder / "telerun-out/1"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "compile-log.txt": b"", "execute-log.txt": b"hello\n",
    }  # fmt: skip
    spool = world.folder / "scratch/gpu1/spool"
    wait_for(lambda: not list(spool.iterdir()), "nothing is left in the spool")


@pytest.mark.once
def test_a_job_that_is_cancelled_has_no_files_to_save(world: World) -> None:
    done = world.submit(world.user("alice"), "--cancel", 1, "--out", "x").no_traceback()
    assert done.status == 2
    assert "--out and --force go with FILE.cu or --attach ID, not with --cancel." in done.err


# --- Faults ------------------------------------------------------------------------------

TWO_FILES = "echo run >>{0}/runs; printf one >out/a; printf two >out/b; exit 3"
BOTH = {"a": b"one", "b": b"two"}


def fetched(world: World, auth: Path) -> dict[str, bytes]:
    folder = world.folder / "fetched"
    assert world.submit(auth, "--attach", 1, "--out", folder).status == 1
    return saved(folder)


def runs(world: World) -> int:
    return len((world.folder / "runs").read_text().splitlines())


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("/files/a$", True),
        ("/files/a$", False),
        ("/files/b$", False),
        ("/result$", True),
        ("/result$", False),
    ],
)
def test_an_executor_killed_while_it_sends_sends_all_at_its_next_start(
    world: World, path: str, before: bool
) -> None:
    alice = world.user("alice")
    world.start_server()
    auth = world.executor("gpu1")
    stub = fake_nvcc(world.folder, AS_SHELL)
    with Proxy(world.port, world.data) as proxy:
        held = proxy.hold("PUT", path, before=before)
        executor = world.start_executor(auth, "--server", proxy.url, nvcc=stub)
        client = world.start_submit(alice, world.source(TWO_FILES.format(world.folder)))
        wait_for(held.arrived.is_set, f"{path} is on its way")
        executor.kill()
        world.start_executor(auth, nvcc=stub)
        assert client.popen.wait(60) == 1, client.told()
        proxy.let_go(held)
    assert fetched(world, alice) == BOTH
    assert runs(world) == 1
    job = world.request(alice, "GET", "/jobs/1")[2]
    assert [attempt["ending"] for attempt in job["attempts"]] == ["finished"]
    spool = world.folder / "scratch/gpu1/spool"
    wait_for(lambda: not list(spool.iterdir()), "nothing is left in the spool")
    world.aside("telerun_db", "check")


def test_answers_that_are_lost_after_the_commit_cost_nothing(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    with Proxy(world.port, world.data) as proxy:
        drops = [proxy.drop("PUT", path, 200) for path in ("/files/a$", "/files/b$", "/result$")]
        stub = fake_nvcc(world.folder, AS_SHELL)
        executor = world.start_executor(world.executor("gpu1"), "--server", proxy.url, nvcc=stub)
        done = world.submit(alice, world.source(TWO_FILES.format(world.folder)))
        assert done.status == 1, done.err
        wait_for(lambda: all(drop.is_set() for drop in drops), "all three were dropped")
        assert executor.stop() == 0
    assert saved(world.folder / "telerun-out/1") == BOTH
    assert runs(world) == 1


@pytest.mark.hardening
def test_a_server_killed_between_two_files_gets_both(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    auth = world.executor("gpu1")
    with Proxy(world.port, world.data) as proxy:
        held = proxy.hold("PUT", "/files/b$", before=True)
        stub = fake_nvcc(world.folder, AS_SHELL)
        world.start_executor(auth, "--server", proxy.url, nvcc=stub)
        client = world.start_submit(alice, world.source(TWO_FILES.format(world.folder)))
        wait_for(held.arrived.is_set, "the second is on its way")
        world.kill_server()
        world.start_server()
        proxy.let_go(held)
        assert client.popen.wait(60) == 1, client.told()
    assert fetched(world, alice) == BOTH
    world.aside("telerun_db", "check")


@pytest.mark.hardening
@pytest.mark.long(10)
def test_a_lease_lost_between_two_files_shows_those_of_the_next_attempt(tmp_path: Path) -> None:
    script = (
        f"if mkdir {tmp_path}/first; then printf old >out/a; printf old >out/b; "
        "else printf new >out/a; fi; exit 3"
    )
    with World(tmp_path, TELERUN_LEASE_SECONDS=3, TELERUN_SWEEP_SECONDS=1) as world:
        alice = world.user("alice")
        world.start_server()
        auth = world.executor("gpu1")
        stub = fake_nvcc(tmp_path, AS_SHELL)
        with Proxy(world.port, world.data) as proxy:
            held = proxy.hold("PUT", "/files/b$", before=True)
            first = world.start_executor(auth, "--server", proxy.url, nvcc=stub)
            client = world.start_submit(alice, world.source(script))
            wait_for(held.arrived.is_set, "the second is on its way")
            first.send(signal.SIGSTOP)  # no heartbeats
            shell_executor(world, "gpu2")
            assert client.popen.wait(60) == 1, client.told()
            proxy.let_go(held)
            first.send(signal.SIGCONT)
            first.wait_until_told("the queue does not take its files/b")
            spool = world.folder / "scratch/gpu1/spool"
            wait_for(lambda: not list(spool.iterdir()), "nothing is left in the spool")
        assert fetched(world, alice) == {"a": b"new"}
        world.aside("telerun_db", "check")


# --- Bodies that are too large, or stop ---------------------------------------------------


@pytest.fixture
def claimed(world: World) -> tuple[World, Path, dict[str, Any]]:
    world.start_server(TELERUN_OUTPUT_FILE_BYTES=1 << 20, TELERUN_SILENCE_SECONDS=2)
    world.request(world.user("alice"), "POST", "/jobs", {"source": "x"})
    auth = world.executor("gpu1")
    return world, auth, world.request(auth, "POST", "/claims", {})[2]


def send(world: World, auth: Path, claimed: dict[str, Any], data: bytes, length: int) -> Any:
    """A file whose body is said to have `length` bytes; status, and the answer's body."""
    with world.connection() as connection:
        connection.putrequest("PUT", f"/api/v1/attempts/{claimed['attempt']['id']}/files/a")
        token = json.loads(auth.read_text())["token"]
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Telerun-Lease", claimed["attempt"]["lease_token"])
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        connection.send(data)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.once
def test_a_file_that_is_too_large_is_told_so_once_it_is_sent(claimed: Any) -> None:
    size = 40 << 20  # more than any buffer on the way
    status, problem = send(*claimed, b"x" * size, size)
    assert (status, problem["type"]) == (413, "/problems/body-too-large")
    assert send(*claimed, b"x" * (1 << 20), 1 << 20)[0] == 200


@pytest.mark.once
def test_a_file_that_stops_in_the_middle_is_not_kept(claimed: Any) -> None:
    status, problem = send(*claimed, b"x" * 1000, 2000)
    assert (status, problem["type"]) == (400, "/problems/malformed-request")
    count = "from jobs.models import OutputFile; print(OutputFile.objects.count())"
    assert claimed[0].aside("shell", "-v0", "-c", count).out.strip() == "0"
