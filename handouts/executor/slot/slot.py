"""The worker's side of a slot."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from handouts.executor.machine.cgroups import Cgroups
from handouts.executor.sandbox.command import Command, SandboxBroken
from handouts.executor.slot.live_output import LiveOutput
from handouts.executor.slot.memory_board import NO_BOARD, MemoryBoard
from handouts.executor.slot.protocol import (
    GRACE_SECONDS,
    Ended,
    Failed,
    Order,
    Output,
    Setup,
    Started,
    kill_line,
    more_line,
    read_frame,
)
from handouts.executor.slot.slot_start import start_slot


class Slot:
    """Runs commands, one at a time. `run` blocks; `kill` may come from any thread."""

    def __init__(
        self,
        sandbox: Any = None,
        group: Path | None = None,
        board: MemoryBoard = NO_BOARD,
        cpus: Collection[int] = (),
    ) -> None:
        """With a sandbox that has uids, one of them is this slot's for as long as it lives.

        `group` is a cgroup of its own, `board` its place on the one of all slots,
        `cpus` those that it has to itself.
        """
        self._group = group
        self._board = board
        self._cpus = cpus
        self._lock = threading.Lock()
        self._number = 0  # of the last order
        self._process: subprocess.Popen[bytes] | None = None
        self._setup = Setup(board=board.descriptor, place=board.place)
        self._uid_lock: Any = None
        if sandbox is not None and sandbox.uids:
            self._uid_lock, uid = sandbox.uids.take()
            self._setup = self._setup._replace(uid=uid, groups=sandbox.groups, binds=sandbox.binds)

    def run(
        self,
        command: Command,
        seconds: float,
        limits: dict[str, int],
        wanted: Callable[[], bool],
        live: LiveOutput | None = None,
    ) -> Ended:
        """Runs the command to its end or its limit. Raises OSError if it cannot be started, and
        SandboxBroken if nothing can.

        `wanted` is asked at the last moment: a `kill` that came before finds nothing to kill.
        `live` is told when it runs, and gets what it prints, as it asks for it.
        """
        kills = self._prepare_group(limits)
        try:
            last = self._exchange(command, seconds, limits, wanted, live)
        except (ConnectionError, ValueError):
            last = None
        finally:
            if live is not None:
                live.end()
        if last is None:
            self._end_process()
            self._start_process()  # which kills what the last one may have left
            return Ended("lost")
        if isinstance(last, Failed):
            raise SandboxBroken(last.message) if last.sandbox else OSError(last.message)
        if self._group and Cgroups.kills(self._group) > kills:
            return last._replace(why="memory")
        return last

    def _exchange(
        self,
        command: Command,
        seconds: float,
        limits: dict[str, int],
        wanted: Callable[[], bool],
        live: LiveOutput | None,
    ) -> Any:
        """Gives the order and reads its frames; the last one, None if the slot died."""
        with ExitStack() as files:
            descriptors = []
            for path, flags in command.files.values():
                descriptors.append(os.open(str(path), flags, 0o700))
                files.callback(os.close, descriptors[-1])
            self._start_process()
            with self._lock:
                if not wanted():
                    return Ended("killed")
                self._number += 1
                self._send(self._order(command, seconds, limits), descriptors)
            if live is not None:
                live.begin(partial(self._ask, self._number))
            while True:
                frame = read_frame(self._frames)
                if live is not None and isinstance(frame, Output):
                    live.add(frame)
                elif not isinstance(frame, (Started, Output)):
                    return frame

    def _order(self, command: Command, seconds: float, limits: dict[str, int]) -> Order:
        return Order(
            number=self._number,
            box=command.box,
            argv=command.argv,
            cwd=command.cwd,
            env=command.env,
            files=list(command.files),
            seconds=seconds,
            log_bytes=limits["log_bytes"],
            output_bytes=limits["output_bytes"],
            memory_bytes=limits.get("memory_bytes", 0),
        )

    def _prepare_group(self, limits: dict[str, int]) -> int:
        if self._group is None:
            return 0
        Cgroups.limit(self._group, limits)
        return Cgroups.kills(self._group)

    def _send(self, order: Order, descriptors: list[int]) -> None:
        data = order.encode()
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        sent = self._socket.sendmsg([data], passed if descriptors else [])
        self._socket.sendall(data[sent:])

    def _ask(self, number: int, offset: int) -> None:
        """For a piece of what the order prints; if it is over, none comes."""
        with self._lock, suppress(OSError):
            if self._process is not None and self._number == number:
                self._socket.sendall(more_line(number, offset))

    def kill(self) -> None:
        """Kills what runs now, if anything does; `run` then returns."""
        with self._lock, suppress(OSError):  # if the slot is gone, `run` notices
            if self._process is not None:
                self._socket.sendall(kill_line(self._number))

    def destroy(self) -> None:
        """kill -9 of the slot, when it does not answer; `run` then returns."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the slot, and whatever runs in it, for good."""
        self._end_process()
        if self._uid_lock is not None:
            self._uid_lock.close()
        if self._group is not None:
            with suppress(OSError):  # something in it does not die; it goes with the service's own
                self._group.rmdir()

    def _end_process(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        self._board.clear()
        if process is not None:
            self._socket.shutdown(socket.SHUT_WR)
            try:
                process.wait(GRACE_SECONDS + 1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._frames.close()
            self._socket.close()

    def _start_process(self) -> None:
        """Starts the slot's process if there is none."""
        if self._process is not None:
            return
        self._process, self._socket = start_slot(self._setup, self._cpus, self._group)
        self._frames = self._socket.makefile("rb")
