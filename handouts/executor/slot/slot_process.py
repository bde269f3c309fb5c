"""A slot: the child process of the executor that starts compilers and programs.

It is single-threaded and long-lived. It adopts orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), so
every process that a program started is its descendant, and is killed when the program is over.
When its standard input closes, because the worker is gone, even by kill -9, it kills what runs
and ends. Started by root, it becomes at once a uid that nothing else on the machine has.
"""

from __future__ import annotations

import os
import resource
import socket
from contextlib import ExitStack, suppress
from typing import Any

from handouts.executor.slot.command_run import CommandRun
from handouts.executor.slot.event_loop import EventLoop
from handouts.executor.slot.identity import Identity
from handouts.executor.slot.libc import LIBC, PR_SET_CHILD_SUBREAPER
from handouts.executor.slot.memory_board import MemoryBoard
from handouts.executor.slot.memory_watch import memfd_device
from handouts.executor.slot.orders import FrameSender, Orders
from handouts.executor.slot.protocol import Failed, Order, Setup


class SlotProcess:
    """Carries out orders from standard input, a socket, until it closes."""

    def __init__(self, setup: Setup) -> None:
        connection = socket.socket(fileno=0)
        self._orders = Orders(connection)
        self._sender = FrameSender(connection)
        self._loop = EventLoop()
        self._loop.on_readable(0, self._orders.receive)
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._memfd_device = memfd_device()
        self._board = MemoryBoard(setup.board, setup.place)
        self._identity = Identity(setup)

    def serve(self) -> None:
        """Returns when the worker is gone."""
        while self._orders.is_open:
            self._loop.wait()
            order = self._orders.next()
            if order is not None:
                with suppress(ConnectionError):  # then the next `wait` finds the orders closed
                    self._sender.send(self._carry_out(*order))

    def _carry_out(self, order: Order, descriptors: list[int]) -> Any:
        """The last frame of an order."""
        report, theirs = os.pipe()
        files = {**dict(zip(order.files, descriptors)), "report": theirs}
        run = CommandRun(order, self._loop, self._orders, self._sender, self._identity)
        with ExitStack() as ours:
            for descriptor in [*descriptors, report]:
                ours.callback(os.close, descriptor)
            try:
                failure = self._start(run, order, files)
            finally:
                os.close(theirs)
            return failure or run.finish(report, self._memfd_device, self._board)

    def _start(self, run: CommandRun, order: Order, files: dict[str, int]) -> Failed | None:
        if self._identity.problem:
            return Failed(self._identity.problem, sandbox=True)
        try:
            run.start(files)
        except (OSError, ValueError) as error:
            is_gone = bool(order.box) and not os.access(order.box[0], os.X_OK)
            return Failed(str(error), sandbox=is_gone)
        return None
