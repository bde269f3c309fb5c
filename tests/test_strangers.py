"""What somebody can do to a server without an account, or with one: X1 to X5 and X7 of the
findings. Real servers; what each cost before stands in docs/reliability.md."""

import contextlib
import http.client
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from foundation.serving.waiters import MAX_OF_USER
from tests.support.processes import Process, World, side_by_side, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]


def memory_mib(server: Process) -> float:
    """Of all processes of the server, shared pages counted once (PSS)."""
    total = 0
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in (server.pid, *children):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if "Pss:" in line)
    return total / 1024


def processes(server: Process) -> set[str]:
    return set(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())


def log_in_form(connection: http.client.HTTPSConnection) -> dict[str, str]:
    """What a stranger may have: the form's cookie."""
    connection.request("GET", "/admin/login/")
    answer = connection.getresponse()
    answer.read()
    cookie = answer.getheader("Set-Cookie", "").partition(";")[0]
    origin = f"https://{connection.host}:{connection.port}"
    return {"Cookie": cookie, "Referer": f"{origin}/admin/login/"}


def begin_post(
    connection: http.client.HTTPSConnection, path: str, size: int, kind: str, **more: str
) -> None:
    """The head of a POST, and nothing of its body."""
    connection.putrequest("POST", path)
    for name, value in {"Content-Type": kind, "Content-Length": str(size), **more}.items():
        connection.putheader(name, value)
    connection.endheaders()


def test_a_crowd_that_says_nothing_ends_no_process_and_others_are_served(world: World) -> None:
    """X1: more connections than a process may have descriptors."""
    alice = world.user("alice")
    server = world.start_server(prefix=("prlimit", "--nofile=500:500"))
    began_with = wait_for(lambda: len(processes(server)) == 2 and processes(server), "both run")
    crowd = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(1500)]
    try:
        for _ in range(5):
            began = time.monotonic()
            assert world.request(alice, "GET", "/jobs")[0] == 200
            assert time.monotonic() - began < 15  # less than the crowd's patience
            time.sleep(0.5)
    finally:
        for silent in crowd:
            silent.close()
    assert processes(server) == began_with
    assert "Too many open files" not in server.told()
    assert "Traceback" not in server.told()


FORM = "application/x-www-form-urlencoded"
FILES = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("kind", [FORM, FILES])
@pytest.mark.parametrize("path", ["/admin/login/", "/nowhere", "/api/v1/nowhere", "/healthz"])
def test_a_strangers_large_body_is_refused_before_it_is_read(
    world: World, kind: str, path: str
) -> None:
    """X2, X3."""
    temporary = world.folder / "tmp"
    temporary.mkdir()
    world.start_server(TMPDIR=temporary)
    with world.connection() as connection:
        headers = log_in_form(connection)
        begin_post(connection, path, 2 << 30, kind, **headers)
        answer = connection.getresponse()  # none of it was sent
        assert answer.status == 413
        assert b"too large" in answer.read()
    with world.connection() as connection:
        begin_post(connection, path, 70_000, kind, Cookie="sessionid=" + "a" * 32)
        assert connection.getresponse().status == 413


def test_forms_of_strangers_that_never_end_cost_little(world: World) -> None:
    """X2: before, 900 of 2.4 MB each took 4.4 GB."""
    server = world.start_server(TELERUN_WORKERS=1)
    with world.connection() as connection:
        headers = log_in_form(connection)
    before = memory_mib(server)
    context = ssl._create_unverified_context()
    kept = []
    for size in (2_400_000, 60_000) * 60:
        connection = http.client.HTTPSConnection(
            "localhost", world.port, timeout=60, context=context
        )
        begin_post(connection, "/admin/login/", size + 1000, FORM, **headers)
        with contextlib.suppress(OSError):  # it has been refused, and has hung up
            connection.send(b"a=" + b"x" * size)
        kept.append(connection)
    assert memory_mib(server) - before < 60
    with world.connection() as connection:
        log_in_form(connection)  # others are served
    for connection in kept:
        connection.close()


def test_staff_may_send_a_roster_and_it_is_never_a_file(world: World) -> None:
    """X3: and more than a roster is nobody's."""
    temporary = world.folder / "tmp"
    temporary.mkdir()
    world.aside(
        "shell",
        "-c",
        "from accounts.models import User; User.objects.create_superuser('ta', password='pw-1x-9')",
    )
    world.start_server(TMPDIR=temporary)
    with world.connection() as connection:
        headers = log_in_form(connection)
        token = headers["Cookie"].partition("=")[2]
        body = f"username=ta&password=pw-1x-9&csrfmiddlewaretoken={token}"
        connection.request("POST", "/admin/login/", body, {"Content-Type": FORM, **headers})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 302
        cookies = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie")]
        headers["Cookie"] = "; ".join([headers["Cookie"], *cookies])
        begin_post(connection, "/admin/nowhere", 3_000_000, FILES, **headers)
        connection.send(b"-" * 2_900_000)
        time.sleep(0.3)
        assert not [path for path in temporary.iterdir() if path.is_file()]
        connection.send(b"-" * 100_000)
        assert connection.getresponse().read() is not None
    with world.connection() as connection:
        begin_post(connection, "/admin/nowhere", 5_000_000, FILES, **headers)
        assert connection.getresponse().status == 413


def test_slow_readers_of_large_answers_cost_two_of_them(world: World) -> None:
    """X4: before, 400 of 6 MB each took 3.2 GB."""
    alice, gpu = world.user("alice"), world.executor("gpu1")
    server = world.start_server(TELERUN_WORKERS=1)
    job_id = world.request(alice, "POST", "/jobs", {"source": "x"})[2]["id"]
    claim = world.request(gpu, "POST", "/claims", {})[2]
    log = "\x01" * (1 << 20)
    result = {
        "lease_token": claim["attempt"]["lease_token"],
        "outcome": "succeeded",
        "execute_log": log,
    }
    assert world.request(gpu, "PUT", f"/attempts/{claim['attempt']['id']}/result", result)[0] == 200
    assert world.request(alice, "GET", f"/jobs/{job_id}")[2]["result"]["execute_log"] == log
    before = memory_mib(server)
    statuses = [asked_slowly(world, alice, job_id) for _ in range(40)]
    answers = [status for status, _ in statuses]
    assert answers.count(b"200") == 4  # 6 MB each: what two bodies of the largest have
    assert answers.count(b"429") == 36
    assert memory_mib(server) - before < 120
    for _, client in statuses:
        client.close()
    assert world.request(alice, "GET", "/jobs")[0] == 200


def asked_slowly(world: World, auth: Path, job_id: int) -> tuple[bytes, ssl.SSLSocket]:
    """The status of an answer of which nothing more is read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", world.port))
    client = ssl._create_unverified_context().wrap_socket(plain)
    token = json.loads(auth.read_text())["token"]
    client.sendall(
        f"GET /api/v1/jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    return client.recv(1024).split()[1], client


def test_one_student_cannot_wait_more_than_so_often(world: World) -> None:
    """X5: before, 8,600 held requests of one token kept others waiting for 40 s."""
    alice, bob = world.user("alice"), world.user("bob")
    world.start_server(TELERUN_WORKERS=1)
    job_id = world.request(alice, "POST", "/jobs", {"source": "x"})[2]["id"]
    token = json.loads(alice.read_text())["token"]
    held = []
    for _ in range(MAX_OF_USER + 10):
        client = ssl._create_unverified_context().wrap_socket(
            socket.create_connection(("127.0.0.1", world.port), timeout=30)
        )
        client.sendall(
            f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        held.append((client.recv(1024).split()[1], client))
    statuses = [status for status, _ in held]
    assert statuses == [b"200"] * MAX_OF_USER + [b"429"] * 10
    assert world.request(bob, "POST", "/jobs", {"source": "x"})[0] == 201
    for _, client in held:
        client.close()


def test_fifty_first_requests_for_the_schema_are_all_answered(world: World) -> None:
    """X7: before, 42 of them were answered 500."""
    world.start_server()

    def ask() -> Any:
        with world.connection() as connection:
            connection.request("GET", "/api/v1/schema")
            answer = connection.getresponse()
            return answer.status, len(answer.read())

    answers = side_by_side(*[ask] * 50)
    assert {status for status, _ in answers} == {200}
    assert len(set(answers)) == 1
