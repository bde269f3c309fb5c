"""One command of a slot, from its start to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

from handouts.executor.base.text import in_text
from handouts.executor.machine.processes import children, kill_group, reap
from handouts.executor.slot.event_loop import EventLoop
from handouts.executor.slot.identity import Identity
from handouts.executor.slot.libc import die_with
from handouts.executor.slot.memory_board import MemoryBoard
from handouts.executor.slot.memory_watch import WATCH_SECONDS, MemoryWatch
from handouts.executor.slot.orders import FrameSender, Orders
from handouts.executor.slot.program_output import ProgramOutput
from handouts.executor.slot.protocol import GRACE_SECONDS, Ended, Failed, Order, Started


class CommandRun:
    """`start`, then `finish`."""

    def __init__(
        self,
        order: Order,
        loop: EventLoop,
        orders: Orders,
        sender: FrameSender,
        identity: Identity,
    ) -> None:
        self._order = order
        self._loop = loop
        self._orders = orders
        self._sender = sender
        self._identity = identity
        self._output = ProgramOutput(order, orders, sender)
        self._child: Any = None
        self._started_at = time.monotonic()
        self._next_look = 0.0 if order.memory_bytes else float("inf")

    def start(self, files: dict[str, int]) -> None:
        """Starts the command, its "@name" arguments replaced. Raises OSError, ValueError."""
        order = self._order
        box = [str(files[a[1:]]) if a.startswith("@") else a for a in order.box]
        self._child = subprocess.Popen(
            box + order.argv,
            cwd=order.cwd,
            env=order.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=list(files.values()) if box else (),
            preexec_fn=die_with(os.getpid()),
        )

    def finish(self, report: int, memfd_device: int, board: MemoryBoard) -> Any:
        """Enforces the limits until the end; the order's last frame.

        `report`: a pipe from the sandbox's first process.
        """
        with suppress(ConnectionError):  # which ends what runs, as soon as it is watched
            self._sender.send(Started(self._child.pid))
        memory = MemoryWatch(self._child.pid, memfd_device if self._order.box else 0, board)
        why = self._watch(memory)
        seconds = time.monotonic() - self._started_at
        unkillable = self._kill_all()
        board.clear()
        self._drain()
        log = self._output.log.content()
        ended = Ended(why, seconds=seconds, log=log, unkillable=unkillable)
        ended = ended._replace(memory_bytes=memory.peak or None)
        if not self._order.box:
            return with_status(ended, self._child.returncode)
        return self._sandboxed_end(ended, read_available(report))

    def _watch(self, memory: MemoryWatch) -> str:
        """Waits for the end and says what it was, as `Ended.why` does."""
        pipe = self._child.stdout.fileno()
        os.set_blocking(pipe, False)
        deadline = self._started_at + self._order.seconds

        def read() -> None:
            data = os.read(pipe, 1 << 16)
            self._output.add(data)
            if not data:
                self._loop.forget(pipe)

        self._loop.on_readable(pipe, read)
        try:
            while self._child.poll() is None:
                now = time.monotonic()
                why = "time" if now >= deadline else self._broken_limit(now, memory)
                if why:
                    return why
                self._output.flush()
                self._loop.wait(min(deadline, self._next_look, self._output.due_at()) - now)
            return "output" if self._printed_too_much() else "ended"
        finally:
            self._loop.forget(pipe)

    def _broken_limit(self, now: float, memory: MemoryWatch) -> str:
        """What must end it now; "" for nothing."""
        if self._printed_too_much():
            return "output"
        if self._orders.is_killed(self._order.number):
            return "killed"
        if now >= self._next_look:
            self._next_look = now + WATCH_SECONDS
            return memory.look(self._order.memory_bytes)
        return ""

    def _printed_too_much(self) -> bool:
        return self._output.log.total > self._order.output_bytes

    def _kill_all(self) -> list[int]:
        """Kills the command and its descendants; they are all children of the slot by now.

        What even SIGKILL does not end, because it hangs in a driver, is not waited for, and
        returned.
        """
        if self._child.poll() is None:
            kill_group(self._child.pid)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            self._child.poll()
            self._identity.kill_all()
            left = children()
            for pid in left:
                if pid != self._child.pid:
                    kill_group(pid)
                    reap(pid)
            if not left:
                return []
            time.sleep(0.001)
        return left

    def _drain(self) -> None:
        """Reads what was still in the pipe; no process is left that could write more."""
        if self._child.returncode is None:
            self._child.returncode = -signal.SIGKILL
        with suppress(BlockingIOError):
            for _ in range(64):
                data = os.read(self._child.stdout.fileno(), 1 << 16)
                if not data:
                    break
                self._output.add(data)
        self._child.stdout.close()

    def _sandboxed_end(self, ended: Ended, report: bytes) -> Any:
        """With what the sandbox's first process reports: "started", and a line at the end."""
        lines = report.decode("ascii", "replace").splitlines()
        if not lines and ended.why == "ended" and not ended.unkillable:
            last_words = in_text(ended.log)[-500:].strip()
            return Failed(last_words or f"it ended with {self._child.returncode}", sandbox=True)
        if len(lines) != 2:  # a program ended its own sandbox; the kernel does, for lack of memory
            return with_status(ended, -signal.SIGKILL)
        status, wall, cpu, kib, product = lines[1].split()
        if product == "unwritten":
            return Failed("what it made could not be kept")
        used = int(kib) << 10
        if ended.why == "ended" and 0 < self._order.memory_bytes < used:  # between two looks
            ended = ended._replace(why="memory")
        ended = ended._replace(
            seconds=float(wall),
            cpu_seconds=float(cpu),
            memory_bytes=max(used, ended.memory_bytes or 0),
        )
        return with_status(ended, exit_code_of(int(status)))


def exit_code_of(wait_status: int) -> int:
    """As Popen.returncode: minus the signal if there was one."""
    if os.WIFEXITED(wait_status):
        return os.WEXITSTATUS(wait_status)
    return -os.WTERMSIG(wait_status)


def with_status(ended: Ended, code: int) -> Ended:
    """`code`: as Popen.returncode."""
    if code < 0:
        return ended._replace(signal=-code)
    return ended._replace(exit_code=code)


def read_available(pipe: int) -> bytes:
    """What is in a pipe now, without waiting for more."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 4096)
    except BlockingIOError:
        return b""
