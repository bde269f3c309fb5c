"""The slot's end of its socket."""

from __future__ import annotations

import array
import socket
from contextlib import suppress
from typing import Any

from handouts.executor.slot.protocol import Order, Output, encode_frame


class Orders:
    """Orders as they come in."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._killed = 0  # the number of the order that is to be stopped
        self._wanted = (0, 0)  # the number of one whose output is wanted, and from which byte on
        self.is_open = True

    def receive(self) -> None:
        """Takes what has arrived; nothing has if the worker is gone."""
        size = socket.CMSG_SPACE(16 * 4)
        try:
            received = self._socket.recvmsg(1 << 16, size, socket.MSG_CMSG_CLOEXEC)
            data, ancillary = received[:2]
        except ConnectionError:
            data, ancillary = b"", []
        for _level, _kind, content in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(content[: len(content) - len(content) % 4])
            self._descriptors += descriptors
        self.is_open = self.is_open and bool(data)
        self._received += data
        self._take_words()

    def next(self) -> tuple[Order, list[int]] | None:
        """The next order and its descriptors, which are the caller's to close."""
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        self._take_words()
        order = Order.decode(line)
        count = len(order.files)
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return order, descriptors

    def is_killed(self, number: int) -> bool:
        """Whether an order is to be stopped: it was killed, or its worker is gone."""
        return not self.is_open or self._killed == number

    def wanted_from(self, number: int) -> float:
        """From which byte on the worker wants what an order prints; infinity if it does not."""
        return self._wanted[1] if self._wanted[0] == number else float("inf")

    def take_wanted(self, number: int) -> int:
        """The same, if it does; it is answered now."""
        offset, self._wanted = self._wanted[1], (0, 0)
        return offset

    def _take_words(self) -> None:
        """What is no order, up to the next one."""
        while self._received.startswith((b"kill ", b"more ")):
            line, newline, rest = self._received.partition(b"\n")
            if not newline:
                break
            word, *numbers = line.split()
            if word == b"kill":
                self._killed = int(numbers[0])
            else:
                self._wanted = (int(numbers[0]), int(numbers[1]))
            self._received = rest


class FrameSender:
    """Frames as they go out."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""  # of an output frame that the socket took in part

    def send(self, frame: Any) -> None:
        """Sends a frame that must arrive, and waits until it has. Raises ConnectionError."""
        data, self._rest = self._rest + encode_frame(frame), b""
        self._socket.sendall(data)

    def offer(self, frame: Output) -> None:
        """Sends a frame as far as there is room now: a slow worker must not slow a program. Not
        while `is_behind`."""
        self._rest = encode_frame(frame)
        self.push()

    def push(self) -> None:
        """Sends more of the frame before, if there is room now."""
        with suppress(BlockingIOError, ConnectionError):
            self._send_rest()

    @property
    def is_behind(self) -> bool:
        """Whether a frame is not sent to its end."""
        return bool(self._rest)

    def _send_rest(self) -> None:
        while self._rest:
            sent = self._socket.send(self._rest, socket.MSG_DONTWAIT)
            self._rest = self._rest[sent:]
