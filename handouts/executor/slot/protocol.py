"""What a worker of the executor and its slot send each other, over a pair of sockets.

The worker sends lines. One is an order: a JSON object, and with it, as descriptors, the files
that the command needs. "kill NUMBER" stops the order of that number if it runs. "more NUMBER
OFFSET" asks for one frame of what it prints from that byte on, as soon as there is something. A
slot is started with its setup, JSON too, as an argument.

The slot answers an order with frames. A frame is a JSON object on one line, with its name in
"frame", and then as many bytes as its "bytes" says:

    started   the command runs.
    output    bytes that it printed, and how many it had printed before. Sent only when asked for,
              one at a time; so a worker that does not read slows no program. What was printed
              since then is in the log, of which the head and the tail are kept: of what was left
              out meanwhile there is no frame, and the next one's offset is larger than asked for.
    ended     what became of it, and the whole log (its head and tail, if it is long).
    failed    why it could not be run.

`ended` or `failed` is the last frame of an order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

# How long what was killed may take to be gone; no less than its GPU has (SETTLE_SECONDS), since a
# driver that gives much memory back takes its time.
GRACE_SECONDS = 10


class Setup(NamedTuple):
    """What a slot is made with, for as long as it lives."""

    uid: int | None = None  # to become, which only root can
    groups: Sequence[int] = ()  # to be in
    binds: Sequence[str] = ()  # that only root may reach: the slot mounts them in /tmp
    board: int = -1  # the descriptor of what all slots know of each other (memory_board.py)
    place: int = 0  # and this one's place there

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(self._asdict())

    @classmethod
    def decode(cls, text: str) -> Setup:
        """The inverse of `encode`."""
        return cls(**json.loads(text))


class Order(NamedTuple):
    """A command to run, and its limits."""

    number: int
    box: list[str]  # as in Command
    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: list[str]  # names of the descriptors that come with it, in their order
    seconds: float
    log_bytes: int  # how much of the log is kept
    output_bytes: int  # after how much output it is stopped
    memory_bytes: int  # how much it may have; 0 is not looked at

    def encode(self) -> bytes:
        """As a line."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """The inverse of `encode`."""
        return cls(**json.loads(line.decode()))


class Started(NamedTuple):
    """The command runs."""

    pid: int


class Output(NamedTuple):
    """A piece of what it printed."""

    offset: int  # how many bytes it printed before these
    data: bytes


class Ended(NamedTuple):
    """What became of a command."""

    # "ended", or what ended it: "time", "output", "memory", "short" (the host is short of memory),
    # "killed" by the worker; the worker itself says "lost" if the slot died.
    why: str
    exit_code: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    log: bytes = b""
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    unkillable: Sequence[int] = ()  # pids that SIGKILL did not end


class Failed(NamedTuple):
    """Why the command could not be run."""

    message: str
    sandbox: bool = False  # whether the sandbox itself is broken


FRAMES = {"started": Started, "output": Output, "ended": Ended, "failed": Failed}
PAYLOADS = {"output": "data", "ended": "log"}  # the members that are sent as bytes


def encode_frame(frame: Any) -> bytes:
    """The frame as it is sent."""
    name = type(frame).__name__.lower()
    members = frame._asdict()
    payload = members.pop(PAYLOADS.get(name), b"")
    return json.dumps({"frame": name, "bytes": len(payload), **members}).encode() + b"\n" + payload


def read_frame(file: BinaryIO) -> Any:
    """The next frame; None if the slot died. Raises ValueError for what is no frame."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    members = json.loads(line.decode())
    name, size = members.pop("frame"), members.pop("bytes")
    payload = file.read(size)
    if len(payload) < size:
        return None
    if name in PAYLOADS:
        members[PAYLOADS[name]] = payload
    return FRAMES[name](**members)


def kill_line(number: int) -> bytes:
    """What stops an order."""
    return b"kill %d\n" % number


def more_line(number: int, offset: int) -> bytes:
    """What asks for a piece of what an order prints."""
    return b"more %d %d\n" % (number, offset)
