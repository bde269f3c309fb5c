"""Slow, silent and half-open clients are given up and cost the others nothing. Real server."""

import json
import select
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes import World

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

HALF_A_HANDSHAKE = b"\x16\x03\x01\x02\x00\x01\x00"
HALF_A_HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-"


def plain(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.port), timeout=30)


def inside_tls(world: World) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(world.data / "server.cert"))
    return context.wrap_socket(plain(world), server_hostname="localhost")


def half_a_body(auth: Path) -> bytes:
    token = json.loads(auth.read_text())["token"]
    return (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"source": "'
    ).encode()


def is_closed(client: socket.socket) -> bool:
    """Whether the server hangs up (or says 400 and hangs up), before the client's patience ends."""
    try:
        while client.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    return True


@pytest.mark.parametrize("where", ["handshake", "head", "body"])
def test_who_stops_in_the_middle_is_given_up(world: World, where: str) -> None:
    alice = world.user("alice")
    world.start_server(TELERUN_SILENCE_SECONDS=1)
    opened: Callable[[World], socket.socket] = plain if where == "handshake" else inside_tls
    said = {"handshake": HALF_A_HANDSHAKE, "head": HALF_A_HEAD, "body": half_a_body(alice)}[where]
    with opened(world) as client:
        client.sendall(said)
        assert is_closed(client)
    assert "Traceback" not in world.server.told()
    assert world.request(alice, "GET", "/jobs")[0] == 200


@pytest.mark.parametrize("where", ["head", "body"])
def test_who_trickles_is_given_up(world: World, where: str) -> None:
    """Never silent for long, and yet never done."""
    alice = world.user("alice")
    world.start_server(TELERUN_SILENCE_SECONDS=1)
    said = {"head": HALF_A_HEAD, "body": half_a_body(alice)}[where]
    with inside_tls(world) as client:
        client.sendall(said)
        sent = 0
        while sent < 60 and not select.select([client], [], [], 0.1)[0]:
            try:
                client.sendall(b"x")
            except OSError:
                break
            sent += 1
        assert is_closed(client)
    assert sent < 60  # before the body was whole


def test_who_is_slow_and_steady_is_served(world: World) -> None:
    alice = world.user("alice")
    world.start_server(TELERUN_SILENCE_SECONDS=3)
    body = json.dumps({"source": "x" * 9000}).encode()
    head = half_a_body(alice).partition(b"Content-Length")[0]
    with inside_tls(world) as client:
        client.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for place in range(0, len(body), 250):
            client.sendall(body[place : place + 250])
            time.sleep(0.25)  # three times as long in all as a client may be silent
        assert b" 201 " in client.recv(4096)


def test_a_server_with_few_descriptors_survives_a_crowd(world: World) -> None:
    """gunicorn's process ends when it has none left for a connection that it accepts."""
    alice = world.user("alice")
    world.start_server(prefix=("prlimit", "--nofile=300:300"))
    silent = [plain(world) for _ in range(900)]
    for client in silent:
        client.close()
    assert world.request(alice, "POST", "/jobs", {"source": "x"})[0] == 201
    assert "Too many open files" not in world.server.told()


def test_others_are_served_beside_hundreds_of_silent_clients(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    silent = [plain(world) for _ in range(300)]
    half = [plain(world) for _ in range(300)]
    for client in half:
        client.sendall(HALF_A_HANDSHAKE)
    assert world.request(alice, "POST", "/jobs", {"source": "x"})[0] == 201
    assert world.request(alice, "GET", "/jobs/1", Prefer="wait=1", If_None_Match='"x"')[0] == 200
    for client in (*silent, *half):
        client.close()
