"""Waiting in short turns, so that something can be done meanwhile, and Ctrl-C acts at once.

On Windows neither reading a socket nor sleeping ends because of Ctrl-C; looking whether a socket
has something to read does, where the signal writes to another one (signal.set_wakeup_fd).
"""

from __future__ import annotations

import io
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

TURN_SECONDS = 0.5


class Turns:
    """One for the program: it is the main thread that waits."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []
        self._next = 0.0  # when they are called next
        self._woken: Any = None
        self._signal: Any = None  # where a signal is written to

    def add(self, call: Callable[[], None]) -> None:
        """It is called at least once a second while something is waited for, and after a signal.

        What it raises ends the waiting.
        """
        self._calls.append(call)

    def sleep(self, seconds: float) -> None:
        """Does nothing for so long, but for the calls."""
        self.wait(None, seconds)

    def wait(self, source: Any, seconds: float) -> bool:
        """Returns True once the socket has something to read, False after so many seconds."""
        deadline = time.monotonic() + seconds
        sockets = [one for one in (source, self._woken) if one is not None]
        while True:
            now = time.monotonic()
            left = min(deadline - now, max(self._next - now, 0.0))
            if not sockets:  # of none, Windows refuses to say
                time.sleep(max(left, 0.0))
            ready = select.select(sockets, [], [], max(left, 0.0))[0] if sockets else []
            if self._woken in ready:
                self._woken.recv(4096)
            if self._woken in ready or time.monotonic() >= self._next:
                self._next = time.monotonic() + TURN_SECONDS
                for call in self._calls:
                    call()
            if source in ready:
                return True
            if time.monotonic() >= deadline:
                return False

    def watch_signals(self) -> None:
        """From now on a signal ends a turn. Where that cannot be, it is seen at the next one."""
        try:
            self._woken, self._signal = socket.socketpair()
            self._woken.setblocking(False)
            self._signal.setblocking(False)
            signal.set_wakeup_fd(self._signal.fileno())
        except OSError:
            self.close()

    def close(self) -> None:
        """A signal ends no turn any more."""
        if self._signal is not None:
            signal.set_wakeup_fd(-1)
            self._woken.close()
            self._signal.close()
            self._woken = self._signal = None


class ShortReads(io.RawIOBase):
    """What comes from a TLS connection, waited for in turns."""

    def __init__(self, connection: Any, turns: Turns, patience: Callable[[], float]) -> None:
        self._file = connection.makefile("rb", buffering=0)  # keeps the connection open
        self._connection = connection
        self._turns = turns
        self._patience = patience  # how many seconds of silence are too many

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises socket.timeout after too much silence, what a call raises, and OSError."""
        deadline = time.monotonic() + self._patience()
        self._connection.settimeout(TURN_SECONDS)
        while True:
            if not self._connection.pending():
                self._turns.wait(self._connection, deadline - time.monotonic())
            try:
                return self._connection.recv_into(buffer)
            except socket.timeout:  # or there was a part of a record
                if time.monotonic() >= deadline:
                    raise

    def close(self) -> None:
        self._file.close()
        super().close()
