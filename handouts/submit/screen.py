"""Standard output, to which goes what came of a job: byte for byte into a file or pipe, made safe
for a terminal. And the lines on standard error while it is written."""

from __future__ import annotations

import sys
from collections.abc import Callable

from handouts.client.words import warn
from handouts.submit.answers_in_json import give_up_output
from handouts.submit.status_line import StatusLine
from handouts.submit.terminal_text import TerminalText
from handouts.submit.terminals import DIM, PLAIN, Look


class Screen:
    """What is written is seen at once. That nobody reads it is no reason to stop."""

    def __init__(self) -> None:
        self.look = Look(sys.stdout)
        self.is_terminal = self.look.is_terminal
        self.has_failed = False  # something could not be written, and somebody wanted it
        self.status = StatusLine()
        self._is_closed = False
        self._in_line = False  # the last line has no end yet
        self._is_coloured = False  # by the program
        self._text = TerminalText(self.look.takes_escapes) if self.is_terminal else None

    def mute(self) -> None:
        """Nothing more goes to standard output."""
        self._is_closed = True

    def write(self, data: bytes, is_last: bool = False) -> None:
        """A piece of a log; the last one leaves no character half done."""
        with self.status.lock:
            self._write(data, is_last)
            self.status.draw()

    def line(self, text: str, colour: str = DIM) -> None:
        """A line of our own."""
        with self.status.lock:
            self._end_line()
            self._put(self.look.encoded(self.look.coloured(text, colour) + "\n"))
            self.status.draw()

    def end_line(self) -> None:
        """What comes next begins a line, here and on standard error."""
        with self.status.lock:
            self._end_line()

    def begin_line(self) -> None:
        """Before lines on standard error, which may be the same terminal; ends the status line."""
        with self.status.lock:
            self.status.end()
            self._begin_line()

    def warn(self, message: str, colour: str = "") -> None:
        """A line on standard error."""
        with self.status.lock:
            self.status.erase()
            self._begin_line()
            text = self.status.look.wrapped(self.status.look.encodable(message))
            warn(self.status.look.coloured(text, colour))
            self.status.draw()

    def say_for(self, seconds: float, words: Callable[[int], str], whole: str) -> None:
        """What is true for so long: in the line that is written anew, or else as a line."""
        if not (self.status.is_used and self.status.is_shown):
            self.warn(whole)
            return
        with self.status.lock:
            self._begin_line()
            self.status.show_instead(words, seconds)

    def show_status(self, words: Callable[[int], str]) -> None:
        """See StatusLine.show."""
        self.status.show(words)

    def _write(self, data: bytes, is_last: bool) -> None:
        if self._text is None:
            in_line = self._in_line if not data else not data.endswith(b"\n")
        else:
            data = self._shown(self._text, data, is_last)
            in_line = self._text.in_line
        self._put(data)
        self._in_line = in_line
        self.status.is_hidden = in_line and self.is_terminal

    def _shown(self, text: TerminalText, data: bytes, is_last: bool) -> bytes:
        """A piece as the terminal gets it. Where a line begins the terminal is in no colour, so
        that lines of ours can come between; the program's then goes on in its own."""
        before = text.colours
        shown = text.take(data, is_last)
        if not shown:
            return b""
        if not self._is_coloured:
            shown = "".join(before) + shown
        self._is_coloured = bool(text.colours) and text.in_line
        if text.colours and not text.in_line:
            shown += PLAIN
        return shown.encode(self.look.encoding, "backslashreplace")

    def _end_line(self) -> None:
        self._write(b"", is_last=True)
        self._uncolour()
        if self._in_line:
            self._put(b"\n")
            self._in_line = self.status.is_hidden = False
        if self._text is not None:
            self._text.begin_line()
            self._text.colours = []

    def _begin_line(self) -> None:
        if self._in_line and self.is_terminal and sys.stderr.isatty():
            self._uncolour()
            self._in_line = self.status.is_hidden = False
            if self._text is not None:
                self._text.begin_line()
            warn("")

    def _uncolour(self) -> None:
        if self._is_coloured:
            self._is_coloured = False
            self._put(PLAIN.encode())

    def _put(self, data: bytes) -> None:
        if self._is_closed or not data:
            return
        if self.is_terminal:
            self.status.erase()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        except OSError as error:
            self._is_closed = True
            self.has_failed = give_up_output(error)
