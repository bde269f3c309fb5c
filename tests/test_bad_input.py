"""Bad input: a clear error in a line or two, nothing lost, no traceback. Real processes."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts.tokens import USER_PREFIX, make
from telerun_site.certificates import make_self_signed
from tests.support.processes import (
    HELLO,
    NVCC,
    ROOT,
    Done,
    World,
    pythons,
    run,
    survivors,
)
from tests.support.stubs import fake_nvcc

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]


def clear(done: Done, status: int, *words: str) -> None:
    """The exit status, the words, no traceback, and no more than two lines of error."""
    done.no_traceback()
    assert done.status == status, done.out + done.err
    for word in words:
        assert word in done.err, done.err
    assert done.err.count("\n") <= 2, done.err


# --- The source file ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no file"),
        ("a folder", "is a folder"),
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"x" * (1024 * 1024 + 1), "1 MiB"),
        (b"int x;\0", "NUL byte at offset 6"),
        (b"// \xff\xfe", "not UTF-8 (byte 3)"),
    ],
)
def test_source_files_that_cannot_be_submitted(
    world: World, content: bytes | str | None, words: str
) -> None:
    path = world.folder / "prog.cu"
    if content == "a folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    clear(world.submit(world.auth("username", "alice", "x"), path), 2, words, "prog.cu")


@pytest.mark.parametrize("name", ["a\\b.cu", "a\nb.cu", "\udcff.cu"])
def test_a_file_whose_name_the_queue_would_not_take(world: World, name: str) -> None:
    path = world.folder / name
    path.write_text("int main() {}")
    clear(world.submit(world.auth("username", "alice", "x"), path), 2, "rename it")


def test_arguments_that_were_meant_for_the_program(world: World) -> None:
    done = world.submit(world.auth("username", "alice", "x"), world.source("x"), "-n", "5")
    assert (done.status, done.err.splitlines()[-1]) == (
        2, "submit.py: unrecognized arguments: -n 5 (put -- before the program's own).",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["\udcff"], "not UTF-8"),
        (["x"] * 101, "100 arguments"),
        (["x" * 4097], "4096 characters"),
    ],
    ids=["bytes", "many", "long"],
)
def test_arguments_that_the_queue_would_not_take(
    world: World, arguments: list[str], words: str
) -> None:
    auth = world.auth("username", "alice", "x")
    clear(world.submit(auth, world.source("x"), *arguments), 2, words)


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "--json"]])
@pytest.mark.parametrize(("target", "status"), [(">/dev/full", 6), (">&-", 0), ("| :", 0)])
def test_an_answer_that_cannot_be_written(
    world: World, arguments: list[str], target: str, status: int
) -> None:
    argv = [sys.executable, ROOT / "submit.py", *arguments]
    done = run(["sh", "-c", f'("$0" "$@"; exit $?) {target}', *argv], cwd=world.folder)
    assert done.status == status
    assert done.err == (
        "submit.py: its output cannot be written: No space left on device.\n" if status else ""
    )


@pytest.mark.parametrize(("target", "status"), [(">/dev/full", 6), (">&-", 0)])
def test_output_that_cannot_be_written(world: World, target: str, status: int) -> None:
    alice, gpu1 = world.user("alice"), world.executor("gpu1")
    world.start_server()
    world.start_executor(gpu1, nvcc=fake_nvcc(world.folder))
    script = f'"$0" "$1" --auth "$2" "$3" {target}'
    argv = [sys.executable, ROOT / "submit.py", alice, world.source("echo hello")]
    done = run(["sh", "-c", script, *argv], cwd=world.folder, env=world.environment)
    clear_of_tracebacks = "Traceback" not in done.err
    assert (done.status, clear_of_tracebacks) == (status, True), done.err
    assert ("No space left" in done.err) == (status == 6)


def test_a_source_of_just_one_mebibyte_and_a_byte_order_mark_are_fine(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    client = world.start_submit(alice, world.source(b"\xef\xbb\xbf" + b"/" * (1024 * 1024 - 3)))
    client.wait_until_told("next in the queue")


# --- auth.json ---------------------------------------------------------------------------

AUTHS: list[tuple[bytes | None, str]] = [
    (None, "There is no"),
    (b"{", "not valid JSON"),
    (b"\xff", "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    (b"[]", 'lacks "'),
    (b"{}", 'lacks "'),
    (b'{"username": "a", "executor": "a"}', 'lacks "token"'),
    (b'{"username": "a", "executor": "a", "token": ""}', 'lacks "token"'),
    (b'{"username": "a", "executor": "a", "token": 5}', 'lacks "token"'),
    (b'{"username": "a", "executor": "a", "token": "a\\nb"}', "no token has"),
    (b'{"username": "a", "executor": "a", "token": "x", "server": 5}', '"server" is not a string'),
    (
        b'{"username": "a", "executor": "a", "token": "x", "server": "http://x"}',
        "https://host:port",
    ),
    (b'{"username": "a", "executor": "a", "token": "x", "server": "https://x:y"}', "https://host"),
    (b'{"username": "a", "executor": "a", "token": "x", "certificate": "none.pem"}', "none.pem"),
]


@pytest.mark.parametrize(("content", "words"), AUTHS)
def test_auth_json_of_both_scripts(world: World, content: bytes | None, words: str) -> None:
    auth = world.folder / "auth.json"
    if content is not None:
        auth.touch(mode=0o600)
        auth.write_bytes(content)
    clear(world.submit(auth, world.source(HELLO)), 2, words)
    clear(run_executor(world, auth), 2, words)


def run_executor(world: World, auth: Path, *arguments: object) -> Done:
    argv = [
        sys.executable, ROOT / "executor.py", "--auth", auth, "--no-gpu",
        "--scratch-dir", world.folder / "scratch", "--nvcc", NVCC,
        *(arguments or ("--nproc-compile", 1, "--nproc-execute", 1)),
    ]  # fmt: skip
    return run(argv, env=world.environment)


def test_an_auth_json_that_others_can_read_is_warned_of(world: World) -> None:
    auth = world.auth("username", "alice", "x")
    auth.chmod(0o644)
    assert f"{auth} can be read by others; chmod 600 it." in quick(world, auth).err


@pytest.mark.parametrize("how", ["mistyped", "revoked", "other kind"])
def test_tokens_that_are_not_accepted(world: World, how: str) -> None:
    alice, gpu1 = world.user("alice"), world.executor("gpu1")
    tokens = {path: json.loads(path.read_text())["token"] for path in (alice, gpu1)}
    if how == "mistyped":
        alice = world.auth("username", "alice", tokens[alice][:-1])
        gpu1 = world.auth("executor", "gpu1", tokens[gpu1][:-1])
    elif how == "revoked":
        world.manage("telerun_auth", "reset-user-token", "alice")
        world.manage("telerun_auth", "reset-executor-token", "gpu1")
    else:
        alice, gpu1 = (
            world.auth("username", "alice", tokens[gpu1]),
            world.auth("executor", "gpu1", tokens[alice]),
        )
    world.start_server()
    clear(world.submit(alice, world.source(HELLO)), 3, "token")
    refused = run_executor(world, gpu1).no_traceback()
    assert refused.status == 1
    assert "refuses this executor" in refused.err
    assert "token" in refused.err
    for text in (refused.err, world.server.told()):
        assert not [token for token in tokens.values() if token in text]


def test_a_large_program_with_a_wrong_token_is_told_so(world: World) -> None:
    """The queue answers before it has read the program, and must read on to be heard."""
    world.start_server()
    auth = world.auth("username", "alice", make(USER_PREFIX))
    source = world.source("\1" * (1024 * 1024))  # six bytes each, in JSON
    for _ in range(5):
        clear(world.submit(auth, source), 3, "does not accept the token")


# --- The way to the queue ----------------------------------------------------------------


def quick(world: World, auth: Path, **options: object) -> Done:
    """submit.py with its patience cut short, to see what it says in the end."""
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import submit;"
        "submit.SUBMIT_PATIENCE_SECONDS = 1; sys.exit(submit.main())"
    )
    argv = [sys.executable, "-c", script, ROOT, world.source(HELLO), "--auth", auth]
    return run(argv, env=world.environment)


def test_a_queue_that_is_down(world: World) -> None:
    done = quick(world, world.auth("username", "alice", "x")).no_traceback()
    assert done.status == 4
    assert f"{world.server_url} does not answer: Connection refused" in done.err


def test_a_name_that_does_not_resolve(world: World) -> None:
    auth = world.auth("username", "alice", "x", server="https://no-such-host.invalid:4443")
    done = quick(world, auth).no_traceback()
    assert done.status == 4
    assert "no-such-host.invalid" in done.err


@pytest.mark.parametrize("python", pythons())
def test_a_certificate_that_is_not_trusted_gets_no_token(world: World, python: str) -> None:
    alice = world.user("alice")
    world.start_server()
    make_self_signed(["localhost"], world.folder / "other.pem", world.folder / "other.key")
    token = json.loads(alice.read_text())["token"]
    auth = world.auth("username", "alice", token, certificate=str(world.folder / "other.pem"))
    done = world.submit(auth, world.source(HELLO), f"python={python}")
    clear(done, 4, "not trusted", "is another one than that in")


def test_the_name_must_be_the_certificates(world: World) -> None:
    (world.data / "server.cert").unlink()
    (world.data / "server.key").unlink()
    world.manage("telerun_certificate", "queue.example.edu")
    alice = world.user("alice")
    world.start_server()
    clear(world.submit(alice, world.source(HELLO)), 4, "not trusted", "name")


def read_request(client: socket.socket) -> None:
    """Reads the whole of it: closing on unread bytes would reset the answer on its way."""
    client.settimeout(10)
    data = b""
    while b"\r\n\r\n" not in data and (more := client.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (more := client.recv(65536)):
        body += more


@pytest.fixture
def answering(world: World) -> Iterator[Callable[[bytes, bool], Path]]:
    """A stub server that says the same to everyone; returns the auth.json for it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve(answer: bytes, tls: bool) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(world.data / "server.cert", world.data / "server.key")
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(client, server_side=True) if tls else client as client:
                    read_request(client) if tls else client.recv(65536)
                    client.sendall(answer)
            except OSError:
                pass

    def start(answer: bytes, tls: bool = True) -> Path:
        threading.Thread(target=serve, args=(answer, tls), daemon=True).start()
        return world.auth("username", "alice", "x", server=f"https://localhost:{port}")

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    ("answer", "tls", "words"),
    [
        (b"", True, "does not answer"),
        (b"hello\r\n\r\n", True, "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", True, "not as a Telerun queue"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True, "not as a Telerun queue"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", True, "not as a Telerun queue"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", True, "does not answer"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", True, "not as a Tel"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}", True, "HTTP status 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", False, "does not speak TLS"),
    ],
)
def test_a_server_that_answers_nonsense(
    world: World, answering: Callable[..., Path], answer: bytes, tls: bool, words: str
) -> None:
    done = quick(world, answering(answer, tls)).no_traceback()
    assert done.status == 4
    assert words in done.err


# --- Somebody else's job, an unknown one -------------------------------------------------


def test_an_unknown_job_and_somebody_elses(world: World) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    world.start_server()
    world.start_submit(alice, world.source(HELLO)).wait_until_told("next in the queue")
    for option in ("--attach", "--cancel"):
        for number in ("1", "99", "99999999999999999999999"):
            clear(world.submit(bob, option, number), 3, f"no job {number}")
    for arguments in (["--attach", "x"], ["--attach", "1", "extra.cu"], []):
        done = run([sys.executable, ROOT / "submit.py", "--auth", alice, *arguments]).no_traceback()
        assert done.status == 2


# --- The executor's own arguments and surroundings ---------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nproc-compile", 0, "--nproc-execute", 1], "'0' is not a whole number"),
        (["--nproc-compile", 1, "--nproc-execute", 0], "--nproc-cpu are both 0"),
        (["--nproc-compile", 1, "--nproc-execute", 0, "--nproc-cpu", -2], "-2"),
        (["--nproc-compile", -1, "--nproc-execute", 1], "-1"),
        (["--nproc-compile", "x", "--nproc-execute", 1], "'x' is not a whole number"),
        (["--nproc-compile", 1], "--nproc-execute"),
        (["--nproc-compile", 1, "--nproc-execute", 1, "--arch", "hopper"], "like sm_90"),
        (["--nproc-compile", 1, "--nproc-execute", 1, "--nvcc", "/no/nvcc"], "/no/nvcc is no"),
        (["--nproc-compile", 1, "--nproc-execute", 1, "--nvcc", "/bin/ls"], "like nvcc does"),
        (["--nproc-compile", 1, "--nproc-execute", 1, "--scratch-dir", "/dev/null"], "/dev/null"),
    ],
)
def test_arguments_of_the_executor(world: World, arguments: list[object], words: str) -> None:
    done = run_executor(world, world.auth("executor", "gpu1", "x"), *arguments).no_traceback()
    assert done.status == 2
    assert words in done.err


def test_without_nvcc_the_message_says_what_to_do(world: World) -> None:
    auth = world.auth("executor", "gpu1", "x")
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1,
            "--auth", auth, "--no-gpu", "--nvcc", "no-such-nvcc"]  # fmt: skip
    clear(run(argv), 2, "Install the CUDA toolkit", "--nvcc")


def test_more_execution_workers_than_gpus_is_refused(world: World) -> None:
    auth = world.auth("executor", "gpu1", "x")
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 99,
            "--auth", auth, "--nvcc", NVCC]  # fmt: skip
    clear(run(argv), 2, "--nproc-execute 99", "--no-gpu")


def test_two_executors_of_one_name_on_one_machine(world: World) -> None:
    auth = world.executor("gpu1")
    world.start_server()
    world.start_executor(auth)
    clear(run_executor(world, auth), 2, "runs on this machine already")


# --- Programs ----------------------------------------------------------------------------

# program, exit status of submit.py, what its output says
PROGRAMS = {
    "compile error": ("int main() { return x; }", 1, ['identifier "x" is undefined', "prog.cu"]),
    "no main": ("int f() { return 0; }", 1, ["did not compile", "main"]),
    "warning": ("int main() { int unused; return 0; }", 0, ["succeeded"]),
    "exit 3": ("int main() { return 3; }", 1, ["failed (exit status 3)"]),
    "exit 137": ("int main() { return 137; }", 1, ["failed (exit status 137)"]),
    "killed": (
        "#include <csignal>\nint main() { raise(SIGKILL); }",
        1,
        ["killed by signal 9, SIGKILL"],
    ),
    "crash": ("int main() { volatile int *p = 0; return *p; }", 1, ["signal 11, SIGSEGV"]),
    "invalid UTF-8": (
        '#include <cstdio>\nint main() { fwrite("a\\xff\\0z\\n", 1, 5, stdout); }',
        0,
        ["a\udcff\0z\n"],
    ),
    "no final newline": ('#include <cstdio>\nint main() { printf("x"); }', 0, ["\nx\n---"]),
    "prints without end": (
        '#include <cstdio>\nint main() { for (;;) puts("spam"); }',
        1,
        ["printed too much", "bytes left out", "limit: 4 MiB"],
    ),
    "runs for ever": ("int main() { for (;;); }", 1, ["ran too long", "limit: 6 s"]),
    "leaves a child behind": (
        '#include <cstdio>\n#include <unistd.h>\nint main() { if (!fork()) { setsid(); '
        'if (!fork()) sleep(600); _exit(0); } puts("parent is done"); }',
        0,
        ["parent is done"],
    ),
}  # fmt: skip


@pytest.mark.hardening
@pytest.mark.long(18)
def test_programs_of_all_kinds(tmp_path: Path) -> None:
    """One after another on one executor: each outcome right, and no trace of the one before."""
    with World(tmp_path, TELERUN_EXECUTE_SECONDS=6, TELERUN_OUTPUT_BYTES=4 << 20) as world:
        alice = world.user("alice")
        world.start_server()
        world.start_executor(world.executor("gpu1"))
        for name, (source, status, words) in PROGRAMS.items():
            done = world.submit(alice, world.source(source)).no_traceback()
            assert done.status == status, (name, done.out[-2000:], done.err)
            for word in words:
                assert word in done.out, (name, done.out[-2000:])
            left = [s for s in survivors(tmp_path / "scratch") if "executor.py" not in s]
            assert left == [], name
            assert list((tmp_path / "scratch/gpu1/jobs").iterdir()) == [], name


def test_a_compiler_that_takes_for_ever_or_prints_without_end(tmp_path: Path) -> None:
    with World(tmp_path, TELERUN_COMPILE_SECONDS=6) as world:
        alice = world.user("alice")
        world.start_server()
        world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(tmp_path, '. "$src"'))
        done = world.submit(alice, world.source("sleep 99 & sleep 99"))
        assert done.status == 1
        assert "took too long to compile (limit: 6 s)" in done.out
        done = world.submit(alice, world.source("yes"))
        assert done.status == 1
        assert "printed too much" in done.out
        assert "bytes left out" in done.out


def test_a_terminal_is_not_written_to_by_a_program(world: World) -> None:
    """On a terminal, escape sequences are spelled out; into a pipe they go as they are."""
    alice = world.user("alice")
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder))
    source = world.source(r"printf '\033]0;evil\007 \xff\n'")
    piped = world.submit(alice, source)
    assert "\033]0;evil\007 \udcff\n" in piped.out
    master, slave = os.openpty()
    client = subprocess.Popen(
        [sys.executable, ROOT / "submit.py", "--auth", alice, source],
        stdout=slave, stderr=subprocess.DEVNULL,
        env={**world.environment, "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    assert client.wait(60) == 0
    assert rb"\x1b]0;evil\x07 \xff" in shown
    assert b"\x1b" not in shown


# --- Bodies ------------------------------------------------------------------------------


def announce_100_mb(world: World, auth: Path, method: str, path: str) -> tuple[int, dict]:
    """A request whose body is said to have 100 MB; the answer comes before the most of it."""
    with world.connection() as connection:
        connection.putrequest(method, f"/api/v1{path}")
        for header, value in {
            "Authorization": "Bearer " + json.loads(auth.read_text())["token"],
            "Content-Type": "application/json",
            "Content-Length": str(100 << 20),
        }.items():
            connection.putheader(header, value)
        connection.endheaders(b'{"source": "' + b"x" * 1000)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_a_huge_body_to_every_endpoint(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        alice, gpu1 = world.user("alice"), world.executor("gpu1")
        world.start_server()
        for auth, method, path in [
            (alice, "POST", "/jobs"),
            (alice, "POST", "/jobs/1/cancel"),
            (gpu1, "POST", "/claims"),
            (gpu1, "POST", "/attempts/1/heartbeat"),
            (gpu1, "PUT", "/attempts/1/result"),
            (gpu1, "POST", "/attempts/1/release"),
        ]:
            status, answer = announce_100_mb(world, auth, method, path)
            expected = 404 if path.endswith("cancel") else 413  # that one reads no body
            assert status == expected, path
            assert answer["type"].startswith("/problems/")
        assert world.request(alice, "GET", "/jobs")[2]["count"] == 0
        assert " 500 " not in world.server.told()
