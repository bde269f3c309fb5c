"""A terminal that a command runs in: a real pty, and pyte for what its bytes show."""

import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pyte

from tests.support.processes import wait_for

PROMPT = "\x1b[90m$\x1b[m "
LONG_SECONDS = 120


class Terminal:
    """Runs a line of shell in a pty of this size; `screen` is what it shows."""

    def __init__(
        self, line: str, columns: int, rows: int, folder: Path, environment: dict[str, str]
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self.show(f"{PROMPT}{line}\r\n")
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "bash", "-c", line],  # so that Ctrl-C reaches what runs in it
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def show(self, text: str) -> None:
        """What stands there without the command having printed it."""
        with self._lock:
            self._stream.feed(text.encode())

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 1 << 16):
                with self._lock:
                    self._stream.feed(data)
        except OSError:  # so ends a terminal
            pass

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def text(self) -> str:
        """All that is on the screen, in lines without their trailing blanks."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait_until_seen(self, words: str) -> None:
        """Until these words stand on the screen, lines that were cut at its edge put together."""

        def is_seen() -> bool:
            was_over = self.is_over
            if was_over:
                self._reader.join(LONG_SECONDS)
            text = self.text()
            if words in text or words in text.replace("\n", ""):
                return True
            assert not was_over, f"it ended, and {words!r} was not on the screen:\n{text}"
            return False

        wait_for(is_seen, f"{words!r} on the screen", LONG_SECONDS)
        time.sleep(0.15)  # the rest of that moment's bytes

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait_until_over(self) -> None:
        self._process.wait(LONG_SECONDS)
        self._reader.join(LONG_SECONDS)

    def prompt_again(self) -> None:
        """As a shell does after a command, on a line of its own."""
        at_begin = self.screen.cursor.x == 0
        self.show(("" if at_begin else "\r\n") + PROMPT)

    def close(self) -> None:
        if not self.is_over:
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait_until_over()
        os.close(self._ours)

    def rows(self) -> list[list[Any]]:
        """Its characters with their colours, up to the last line that has any, or the cursor."""
        with self._lock:
            cells = [
                [self.screen.buffer[y][x] for x in range(self.screen.columns)]
                for y in range(self.screen.lines)
            ]
        used = [y for y, row in enumerate(cells) if any(cell.data.strip() for cell in row)]
        return cells[: max([*used, self.screen.cursor.y]) + 1]
