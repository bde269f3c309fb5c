"""What a program prints, on its way through the slot."""

from __future__ import annotations

import time

from handouts.executor.slot.bounded_log import BoundedLog
from handouts.executor.slot.orders import FrameSender
from handouts.executor.slot.protocol import Order, Output

FRAME_BYTES = 1 << 16  # as much is sent at once
FRAME_SECONDS = 0.05  # less than that is sent at most so often


class ProgramOutput:
    """Keeps the log, and sends what comes in as frames if the order is live."""

    def __init__(self, order: Order, sender: FrameSender) -> None:
        self.log = BoundedLog(order.log_bytes)
        self._sender = sender if order.live else None
        self._unsent = bytearray()
        self._next_frame_at = 0.0

    def add(self, data: bytes) -> None:
        """Takes what was printed."""
        self.log.add(data)
        if self._sender is not None:
            self._unsent += data
            if len(self._unsent) >= FRAME_BYTES:
                self.flush()

    @property
    def due_at(self) -> float:
        """When `flush` should be called, on the monotonic clock; infinity for not at all."""
        return self._next_frame_at if self._unsent else float("inf")

    def flush(self) -> None:
        """Sends what was not sent yet, if the socket has room for it."""
        if self._sender is not None and self._unsent:
            offset = self.log.total - len(self._unsent)
            self._sender.offer(Output(offset, bytes(self._unsent)))
            self._unsent.clear()
            self._next_frame_at = time.monotonic() + FRAME_SECONDS
