"""Standard output, to which goes what came of a job: byte for byte into a file or pipe, made safe
for a terminal."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from handouts.client.words import warn
from handouts.submit.printable import printable


class Screen:
    """What is written is seen at once. That nobody reads it is no reason to stop."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.has_failed = False  # something could not be written, and somebody wanted it
        self._is_closed = False
        self._in_line = False  # the last line has no end yet
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def mute(self) -> None:
        """Nothing more goes to standard output."""
        self._is_closed = True

    def write(self, data: bytes, is_last: bool = False) -> None:
        """A piece of a log; the last one leaves no character half done."""
        if self.is_terminal:
            text = printable(self._decoder.decode(data, is_last))
            data = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        if data:
            self._in_line = not data.endswith(b"\n")
            self._put(sys.stdout.buffer.write, data)

    def line(self, text: str) -> None:
        """A line of our own."""
        self.end_line()
        self._put(sys.stdout.write, text + "\n")

    def end_line(self) -> None:
        """What comes next begins a line, here and on standard error."""
        self.write(b"", is_last=True)
        if self._in_line:
            self.write(b"\n")

    def begin_line(self) -> None:
        """Before a line on standard error, which may be the same terminal."""
        if self._in_line and self.is_terminal and sys.stderr.isatty():
            self._in_line = False
            warn("")

    def warn(self, message: str) -> None:
        """A line on standard error."""
        self.begin_line()
        warn(message)

    def _put(self, write: Callable[[Any], Any], what: Any) -> None:
        if self._is_closed:
            return
        try:
            write(what)
            sys.stdout.flush()
        except OSError as error:
            self._is_closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno not in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a pipe
                self.has_failed = True
                warn(f"submit.py: its output cannot be written: {error.strerror or error}.")
