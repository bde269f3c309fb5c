"""What a program prints, on its way through the slot."""

from __future__ import annotations

import time

from handouts.executor.slot.bounded_log import BoundedLog
from handouts.executor.slot.orders import FrameSender, Orders
from handouts.executor.slot.protocol import Order, Output

FRAME_BYTES = 56 << 10  # as JSON mostly less than 64 KiB, which the queue takes the quickest way
GATHER_SECONDS = 0.1  # from one frame to the next, so that each holds what was printed meanwhile
FULL_FRAME_SECONDS = 0.05  # to one that has no more room
NEVER = float("inf")


class ProgramOutput:
    """Keeps the log, and sends a piece of it whenever the worker asks for one.

    One at a time: what the worker does not come to take stays in the log, as far as that goes.
    """

    def __init__(self, order: Order, orders: Orders, sender: FrameSender) -> None:
        self.log = BoundedLog(order.log_bytes)
        self._number = order.number
        self._orders = orders
        self._sender = sender
        self._last_frame_at = -NEVER

    def add(self, data: bytes) -> None:
        """Takes what was printed."""
        self.log.add(data)

    def due_at(self) -> float:
        """When `flush` should be called, on the monotonic clock; infinity for not before something
        happens."""
        if self._sender.is_behind:
            return time.monotonic() + GATHER_SECONDS
        waiting = self.log.total - self._orders.wanted_from(self._number)
        if waiting <= 0:
            return NEVER
        is_full = waiting >= FRAME_BYTES
        return self._last_frame_at + (FULL_FRAME_SECONDS if is_full else GATHER_SECONDS)

    def flush(self) -> None:
        """Sends a piece, if one is due."""
        self._sender.push()
        now = time.monotonic()
        if now < self.due_at():
            return
        self._last_frame_at = now
        offset = self._orders.take_wanted(self._number)
        self._sender.offer(Output(*self.log.piece(offset, FRAME_BYTES)))
