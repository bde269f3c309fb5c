"""What a program prints, while it still runs: for a listener, at no cost to the program."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, wait_for
from tests.support.scripts import load

pytestmark = [pytest.mark.once, pytest.mark.processes]
executor = load("executor")
LIMITS = {"log_bytes": 1000, "output_bytes": 64 << 20}


@pytest.fixture
def slot() -> Iterator[Any]:
    slot = executor.Slot()
    yield slot
    slot.close()


def shell(script: str, folder: Path) -> Any:
    env = {"PATH": "/usr/bin:/bin"}
    return executor.Command([], ["/bin/bash", "-c", script], str(folder), env, {})


class Listener:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []

    def __call__(self, offset: int, data: bytes) -> None:
        self.pieces.append((offset, data))


def test_the_first_output_arrives_while_the_program_runs(slot: Any, tmp_path: Path) -> None:
    """It ends only when it was heard."""

    def listener(offset: int, data: bytes) -> None:
        if (offset, data) == (0, b"first\n"):
            (tmp_path / "heard").touch()

    command = shell("echo first; until [ -e heard ]; do sleep 0.01; done; echo last", tmp_path)
    ended = slot.run(command, 20, LIMITS, lambda: True, listener)
    assert (ended.why, ended.exit_code, ended.log) == ("ended", 0, b"first\nlast\n")


def test_the_pieces_are_the_whole(slot: Any, tmp_path: Path) -> None:
    listener = Listener()
    command = shell("seq 1 5000; sleep 0.2; seq 5001 9999; printf '\\xff\\0'", tmp_path)
    ended = slot.run(command, 20, LIMITS, lambda: True, listener)
    assert ended.why == "ended"
    assert b"bytes left out" in ended.log  # the log is bounded all the same
    whole = b"".join(data for _, data in listener.pieces)
    assert whole == b"".join(b"%d\n" % n for n in range(1, 10_000)) + b"\xff\0"
    sizes = [len(data) for _, data in listener.pieces]
    assert [offset for offset, _ in listener.pieces] == [sum(sizes[:n]) for n in range(len(sizes))]
    listener.pieces.clear()
    assert slot.run(shell("echo next", tmp_path), 20, LIMITS, lambda: True).log == b"next\n"
    assert listener.pieces == []


# Prints 24 MB, and then how many milliseconds that took.
FLOOD = (
    "s=$(date +%s%N); head -c 24000000 /dev/zero; e=$(date +%s%N);echo; echo $(((e - s) / 1000000))"
)


@pytest.mark.parametrize("sleep", ["", "; sleep 1"])
def test_a_listener_that_blocks_changes_nothing(slot: Any, tmp_path: Path, sleep: str) -> None:
    calls, go_on = [], threading.Event()

    def listener(offset: int, _data: bytes) -> None:
        calls.append(offset)
        go_on.wait(60)

    plain = slot.run(shell(FLOOD + sleep, tmp_path), 30, LIMITS, lambda: True)
    began = time.monotonic()
    ended = slot.run(shell(FLOOD + sleep, tmp_path), 30, LIMITS, lambda: True, listener)
    took = time.monotonic() - began
    assert took < ended.seconds + executor.LISTENER_SECONDS + 3
    assert ended.seconds < plain.seconds + 5
    assert int(ended.log.split()[-1]) < 5000
    head = slice(int(LIMITS["log_bytes"] * executor.HEAD_SHARE))
    assert ended.log[head] == plain.log[head]
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert len(calls) == 1
    next_one = slot.run(shell("echo next", tmp_path), 30, LIMITS, lambda: True)
    assert next_one.log == b"next\n"
    go_on.set()
    time.sleep(0.1)
    assert len(calls) == 1  # nothing of it comes afterwards


class RawSlot:
    """A slot's process, without the worker's side that always reads."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "executor.py", "--slot", executor.Setup().encode()],
                stdin=theirs, stdout=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        self.frames = self.socket.makefile("rb")

    def order(self, command: Any, live: bool) -> None:
        order = executor.Order(
            number=1, files=[], seconds=20, memory_bytes=0, live=live,
            **{key: value for key, value in command._asdict().items() if key != "files"}, **LIMITS,
        )  # fmt: skip
        self.socket.sendall(order.encode())

    def read(self) -> list[Any]:
        """All frames of an order."""
        found = [executor.read_frame(self.frames)]
        while not isinstance(found[-1], (executor.Ended, executor.Failed)):
            found.append(executor.read_frame(self.frames))
        return found

    def close(self) -> None:
        self.frames.close()
        self.socket.close()
        assert self.process.wait(20) == 0


@pytest.fixture
def raw() -> Iterator[RawSlot]:
    raw = RawSlot()
    yield raw
    raw.close()


def test_without_a_listener_no_output_is_sent(raw: RawSlot, tmp_path: Path) -> None:
    raw.order(shell("seq 1 5000", tmp_path), live=False)
    assert [type(frame).__name__ for frame in raw.read()] == ["Started", "Ended"]


def test_a_worker_that_does_not_read_never_slows_the_program(raw: RawSlot, tmp_path: Path) -> None:
    raw.order(shell("seq 1 3000000; touch done", tmp_path), live=True)
    wait_for((tmp_path / "done").exists, "it ran to its end", 15)
    started, *pieces, ended = raw.read()
    assert isinstance(started, executor.Started)
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert ended.log.startswith(b"1\n2\n3\n")
    assert ended.log.endswith(b"\n2999999\n3000000\n")
    whole = b"".join(b"%d\n" % n for n in range(1, 3_000_001))
    for piece in pieces:  # each is where it says, with gaps between them
        assert whole[piece.offset : piece.offset + len(piece.data)] == piece.data
    sent = sum(len(piece.data) for piece in pieces)
    assert 0 < sent < len(whole) / 2
    offsets = [piece.offset for piece in pieces]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize(
    "frame",
    [
        executor.Started(7),
        executor.Output(3, b"\0\xff\n"),
        executor.Ended("time", None, 9, 1.5, b"log\n", 0.25, 1 << 20, [4, 5]),
        executor.Failed("no such file", True),
    ],
)
def test_frames_are_read_as_they_were_sent(frame: Any, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(executor.encode_frame(frame) * 2)
    with sent.open("rb") as file:
        assert [executor.read_frame(file) for _ in range(3)] == [frame, frame, None]
    sent.write_bytes(executor.encode_frame(frame)[:-1])
    with sent.open("rb") as file:  # the slot died while it wrote
        assert executor.read_frame(file) is None
