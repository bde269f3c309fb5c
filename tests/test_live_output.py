"""What a program prints, while it still runs: for who asks, at no cost to the program."""

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


class Watcher(executor.LiveOutput):
    """Asks for a piece after the other, from the beginning or from where it is told to."""

    def __init__(self, offset: int = 0, on_piece: Any = lambda piece: None) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.begun, self.ended = threading.Event(), 0
        self._offset, self._on_piece = offset, on_piece

    def begin(self, ask: Any) -> None:
        self.ask = ask
        self.begun.set()
        if self._offset >= 0:
            ask(self._offset)

    def add(self, piece: Any) -> None:
        self.pieces.append((piece.offset, piece.data))
        self._on_piece(piece)
        self.ask(piece.offset + len(piece.data))

    def end(self) -> None:
        self.ended += 1


def run(slot: Any, script: str, folder: Path, live: Any = None, limits: Any = LIMITS) -> Any:
    return slot.run(shell(script, folder), 30, limits, lambda: True, live)


# Ends only when it was heard.
HEARD = "until [ -e heard ]; do sleep 0.01; done;"


def test_the_first_output_arrives_while_the_program_runs(slot: Any, tmp_path: Path) -> None:
    def hear(piece: Any) -> None:
        if piece == (0, b"first\n"):
            (tmp_path / "heard").touch()

    watcher = Watcher(on_piece=hear)
    ended = run(slot, f"echo first; {HEARD} echo last", tmp_path, watcher)
    assert (ended.why, ended.exit_code, ended.log) == ("ended", 0, b"first\nlast\n")
    assert watcher.ended == 1


def test_pieces_follow_each_other_byte_for_byte(slot: Any, tmp_path: Path) -> None:
    whole = b"".join(b"%d\n" % n for n in range(1, 100_000)) + b"\xff\0"

    def hear(piece: Any) -> None:
        if piece.offset + len(piece.data) == len(whole):
            (tmp_path / "heard").touch()

    watcher, limits = Watcher(on_piece=hear), {**LIMITS, "log_bytes": 1 << 20}
    run(slot, f"seq 1 99999; sleep 0.2; printf '\\xff\\0'; {HEARD}", tmp_path, watcher, limits)
    assert b"".join(data for _, data in watcher.pieces) == whole
    sizes = [len(data) for _, data in watcher.pieces]
    assert [offset for offset, _ in watcher.pieces] == [sum(sizes[:n]) for n in range(len(sizes))]
    assert max(sizes) <= executor.FRAME_BYTES
    watcher.pieces.clear()
    assert run(slot, "echo next", tmp_path).log == b"next\n"
    assert watcher.pieces == []


def test_who_comes_late_gets_what_is_kept_with_a_gap_where_something_is_missing(
    slot: Any, tmp_path: Path
) -> None:
    whole = b"".join(b"%d\n" % n for n in range(1, 100_000))

    def hear(piece: Any) -> None:
        if piece.offset + len(piece.data) == len(whole):
            (tmp_path / "heard").touch()

    watcher = Watcher(-1, hear)
    running = threading.Thread(
        target=run, args=(slot, f"seq 1 99999; touch printed; {HEARD}", tmp_path, watcher)
    )
    running.start()
    wait_for((tmp_path / "printed").exists, "all is printed", 20)
    watcher.begun.wait(20)
    watcher.ask(0)
    running.join(30)
    (first, head), *others = watcher.pieces
    assert (first, head) == (0, whole[: int(LIMITS["log_bytes"] * executor.HEAD_SHARE)])
    assert others[0][0] > len(head)
    for offset, data in others:
        assert whole[offset : offset + len(data)] == data


def test_little_pieces_are_gathered(slot: Any, tmp_path: Path) -> None:
    """A program that prints in tiny steps makes no frame of each."""
    watcher = Watcher()
    script = "for i in {1..300}; do echo $i; sleep 0.002; done; sleep 0.3"
    ended = run(slot, script, tmp_path, watcher, {**LIMITS, "log_bytes": 1 << 20})
    assert len(watcher.pieces) <= ended.seconds / executor.GATHER_SECONDS + 1
    assert b"".join(data for _, data in watcher.pieces) == ended.log


# Prints 24 MB, and then how many milliseconds that took.
FLOOD = (
    "s=$(date +%s%N); head -c 24000000 /dev/zero; e=$(date +%s%N);echo; echo $(((e - s) / 1000000))"
)


def test_who_does_not_ask_again_changes_nothing(slot: Any, tmp_path: Path) -> None:
    plain = run(slot, FLOOD, tmp_path)

    class Idle(Watcher):
        def add(self, piece: Any) -> None:
            self.pieces.append((piece.offset, piece.data))

    watcher = Idle()
    ended = run(slot, FLOOD, tmp_path, watcher)
    assert ended.seconds < plain.seconds + 5
    assert int(ended.log.split()[-1]) < 5000
    head = slice(int(LIMITS["log_bytes"] * executor.HEAD_SHARE))
    assert ended.log[head] == plain.log[head]
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert len(watcher.pieces) == 1
    watcher.ask(0)  # too late
    assert run(slot, "echo next; sleep 0.2", tmp_path).log == b"next\n"
    assert len(watcher.pieces) == 1


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

    def order(self, command: Any, more: bytes = b"") -> None:
        order = executor.Order(
            number=1, files=[], seconds=20, memory_bytes=0,
            **{key: value for key, value in command._asdict().items() if key != "files"}, **LIMITS,
        )  # fmt: skip
        self.socket.sendall(order.encode() + more)

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


def test_no_output_is_sent_that_nobody_asked_for(raw: RawSlot, tmp_path: Path) -> None:
    raw.order(shell("seq 1 5000", tmp_path), executor.more_line(2, 0))  # of another order
    assert [type(frame).__name__ for frame in raw.read()] == ["Started", "Ended"]


def test_a_worker_that_does_not_read_never_slows_the_program(raw: RawSlot, tmp_path: Path) -> None:
    raw.order(shell("seq 1 3000000; touch done", tmp_path))
    while not (tmp_path / "done").exists():
        raw.socket.sendall(executor.more_line(1, 0))
        time.sleep(0.01)
    started, *pieces, ended = raw.read()
    assert isinstance(started, executor.Started)
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert ended.log.startswith(b"1\n2\n3\n")
    assert ended.log.endswith(b"\n2999999\n3000000\n")
    head = b"".join(b"%d\n" % n for n in range(1, 1000))
    assert pieces
    for piece in pieces:
        assert piece.offset == 0
        assert head.startswith(piece.data)


def test_asking_ten_thousand_times_without_reading(raw: RawSlot, tmp_path: Path) -> None:
    """The socket is full, and the slot goes on."""
    big = "head -c 60000 /dev/zero; until [ -e enough ]; do sleep 0.01; done"
    raw.order(shell(big, tmp_path))
    for _ in range(20):
        raw.socket.sendall(executor.more_line(1, 0) * 500)
        time.sleep(0.06)
    (tmp_path / "enough").touch()
    *_, ended = raw.read()
    assert (ended.why, ended.exit_code) == ("ended", 0)


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
