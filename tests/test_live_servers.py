"""Live output with real servers: two on PostgreSQL, two processes on SQLite. Faults in between."""

import json
import random
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from bench.measure import memory_mib
from tests.support.database import ON_POSTGRESQL
from tests.support.events import Shown, events
from tests.support.live import Ports, StubExecutor, Watcher, pieces
from tests.support.processes import Process, World, free_port, wait_for

pytestmark = [pytest.mark.end_to_end]


def text(rng: random.Random, length: int) -> bytes:
    """Lines, characters of several bytes, and bytes that are no text."""
    words = ["step", "é", "中文", "😀", "\0", "\x1b[1m", "0.125", "\r", "\n"]
    whole = " ".join(rng.choice(words) for _ in range(length // 4)).encode() + rng.randbytes(500)
    return whole[-length:]


class Servers:
    """One server and its two processes; on PostgreSQL two servers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ports = [world.port]
        if ON_POSTGRESQL:
            self.ports.append(free_port())
        self.running: dict[int, Process] = {}
        for port in self.ports:
            self.start(port)

    def start(self, port: int) -> None:
        world = self._world
        data = world.data if port == self.ports[0] else world.folder / f"data-{port}"
        if not data.exists():
            data.mkdir()
            for name in ("server.cert", "server.key"):
                (data / name).write_bytes((world.data / name).read_bytes())
                (data / name).chmod(0o600)
        world.port = port
        self.running[port] = world.start_server(TELERUN_DATA_DIR=data)
        world.port = self.ports[0]

    def kill(self, port: int) -> None:
        """kill -9 of it and its processes."""
        self._world.server = self.running[port]
        self._world.kill_server()


@pytest.fixture
def servers(world: World) -> Servers:
    return Servers(world)


def begun(world: World, servers: Servers) -> tuple[Ports, Path, int, StubExecutor]:
    """A job that runs, at a stub executor."""
    alice, gpu = world.user("alice"), world.executor("gpu1")
    ports = Ports(world, servers.ports)
    job_id = ports.ask(alice, "POST", "/jobs", {"source": "x"})["id"]
    return ports, alice, job_id, StubExecutor(ports, gpu)


@pytest.mark.hardening
def test_exact_while_servers_are_killed_and_streams_are_cut(world: World, servers: Servers) -> None:
    """Two watchers, one of whom is cut off again and again, and one that comes late."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ports, alice, job_id, stub = begun(world, servers)
    whole = text(rng, 60_000)
    cutting = random.Random(seed + 1)
    watchers = [
        Watcher(ports, alice, job_id),
        Watcher(ports, alice, job_id, lambda: cutting.random() < 0.2),
    ]
    for watcher in watchers:
        watcher.start()
    sent = list(pieces(rng, whole, 600))
    for number, (offset, content) in enumerate(sent):
        if number in (len(sent) // 4, len(sent) // 2):
            port = rng.choice(servers.ports)
            servers.kill(port)
            if number == len(sent) // 4:
                servers.start(port)
            else:
                later = threading.Timer(0.3, servers.start, [port])
                later.start()
        if number == 2 * len(sent) // 3:
            watchers.append(Watcher(ports, alice, job_id))
            watchers[-1].start()
        stub.feed(offset, content)
    later.join()
    stub.feed(0, b"compiled\n", "compile")
    wait_for(lambda: all(w.last_id for w in watchers), "all have begun to watch")
    stub.finish(execute_log="")
    for watcher in watchers:
        shown = watcher.result()
        assert bytes(shown.logs["execute"]) == whole
        assert bytes(shown.logs["compile"]) == b"compiled\n"
    assert watchers[1].streams > 3
    assert world.aside("telerun_db", "check").out.startswith("All is well")


def test_each_process_tells_of_what_came_to_another(world: World, servers: Servers) -> None:
    """Many watchers are spread over the processes, and so is what is sent."""
    ports, alice, job_id, stub = begun(world, servers)
    watchers = [Watcher(ports, alice, job_id) for _ in range(8)]
    for watcher in watchers:
        watcher.start()
    wait_for(lambda: all(w.last_id for w in watchers), "all watch")
    for number in range(20):
        assert stub.feed(number, b"x") is True

        def all_have_it(upto: int = number + 1) -> bool:
            return all(len(w.shown.logs["execute"]) == upto for w in watchers)

        wait_for(all_have_it, f"all are told of byte {number}", 20)
    stub.finish()
    assert {bytes(w.result().logs["execute"]) for w in watchers} == {b"x" * 20}


def test_a_client_that_reads_a_byte_now_and_then(world: World, servers: Servers) -> None:
    """It costs the server little, nobody else anything, and it has it all in the end."""
    ports, alice, job_id, stub = begun(world, servers)
    whole = text(random.Random(1), 900_000)
    pids = [process.pid for process in servers.running.values()]
    context = ssl.create_default_context(cafile=str(world.data / "server.cert"))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(60)
    plain.connect(("127.0.0.1", servers.ports[0]))
    slow = context.wrap_socket(plain, server_hostname="localhost")
    token = json.loads(alice.read_text())["token"]
    slow.sendall(
        f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    received = bytearray(slow.recv(1))
    quick = Watcher(ports, alice, job_id)
    quick.start()
    before = sum(map(memory_mib, pids))
    for offset in range(0, len(whole), 60_000):
        stub.feed(offset, whole[offset : offset + 60_000])
        received += slow.recv(1)
        time.sleep(0.1)
    stub.finish()
    assert bytes(quick.result().logs["execute"]) == whole
    assert sum(map(memory_mib, pids)) < before + 40
    while not received.endswith(b"0\r\n\r\n") and (chunk := slow.recv(65536)):
        received += chunk
    slow.close()
    shown = Shown()
    for event in events(body_of(bytes(received)).splitlines(True)):
        if event.kind == "output":
            shown.add(event.data)
    assert bytes(shown.logs["execute"]) == whole
    assert event.data["state"] == "finished"


def body_of(answer: bytes) -> bytes:
    """Of an answer in chunks."""
    _, _, rest = answer.partition(b"\r\n\r\n")
    parts = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return b"".join(parts)


def test_what_goes_without_the_frameworks_is_answered_the_same(
    world: World, servers: Servers
) -> None:
    """`Accept` with a list goes the ordinary way (jobs/api/v1/express.py)."""
    alice, gpu, other = world.user("alice"), world.executor("gpu1"), world.executor("gpu2")
    world.request(alice, "POST", "/jobs", {"source": "x"})
    attempt = world.request(gpu, "POST", "/claims", {})[2]["attempt"]
    path = f"/attempts/{attempt['id']}/output"
    lease = {"lease_token": attempt["lease_token"]}
    right = {**lease, "log": "execute", "offset": 0, "text": "x\udcff"}

    def answers(auth: Path, body: object, path: str = path) -> tuple[int, object]:
        plain = world.request(auth, "POST", path, body)
        ordinary = world.request(auth, "POST", path, body, Accept="application/json, */*")
        for answer in (plain, ordinary):
            assert answer[1]["content-type"].startswith("application/")
        assert plain[0] == ordinary[0]
        assert plain[2] == ordinary[2]
        return plain[0], plain[2]

    assert answers(gpu, right) == (200, {"watched": False})
    assert answers(gpu, {**right, "offset": 2})[0] == 200
    for wrong in ({"lease_token": "x"}, {"lease_token": "é"}, {"lease_token": "\ud800"},
                  {"log": "x"}, {"log": ["x"]}, {"offset": -1}, {"offset": True}, {"text": 1},
                  {"text": "\ud800"}, {"lease_token": 1}):  # fmt: skip
        assert answers(gpu, {**right, **wrong})[0] in (400, 409)
    assert answers(gpu, [])[0] == 400
    assert answers(gpu, {**right, "more": 1})[0] == 200
    assert answers(other, right)[0] == 404
    assert answers(gpu, right, f"/attempts/{10**18}/output")[0] == 404
    assert answers(alice, right)[0] == 403
    result = {**lease, "outcome": "succeeded"}
    assert world.request(gpu, "PUT", f"/attempts/{attempt['id']}/result", result)[0] == 200
    assert answers(gpu, right)[0] == 409
