"""What a program prints, made safe for a terminal.

Colours pass (SGR, which changes no more than how the text that follows looks), and a carriage
return or backspace acts within the line. All else that would move the cursor, change the terminal
or turn the text around is spelled out.
"""

from __future__ import annotations

import codecs
import re

from handouts.submit.printable import CONTROL, printable
from handouts.submit.terminals import width_of

COLOUR = r"\x1b\[[0-9;:]{0,64}m"
TOKEN = re.compile(f"({COLOUR})|([^{CONTROL.pattern[1:-1]}\n]+)|(.)", re.DOTALL)
# What may go on to be one, at the end of a piece.
BEGUN = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?\Z")
RESETS = re.compile(r"\x1b\[0*(?:[;:]|m)")
MOST_COLOURS = 32  # changes in force at once; whoever makes more loses the first


class TerminalText:
    """The text of one log after another, in pieces that may be cut anywhere."""

    def __init__(self, takes_escapes: bool) -> None:
        """Where the terminal takes no escape sequences, all are spelled out."""
        self._takes_escapes = takes_escapes
        self.in_line = False  # the last line has no end yet
        self.colours: list[str] = []  # the sequences that are in force at its end
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""  # the beginning of a sequence
        self._cells = 0  # as far as a backspace may go back

    def take(self, data: bytes, is_last: bool = False) -> str:
        """The next piece as it may be shown; the last one leaves nothing half done."""
        text = self._held + self._decoder.decode(data, is_last)
        begun = None if is_last else BEGUN.search(text)
        self._held = begun[0] if begun else ""
        text = text[: len(text) - len(self._held)]
        if not self._takes_escapes:
            text = printable(text)
        if CONTROL.search(text):
            return TOKEN.sub(self._shown, text)
        *before, line = text.split("\n")
        if before:
            self.begin_line()
        self._add(line)
        return text

    def begin_line(self) -> None:
        """The cursor stands at the beginning of a line."""
        self.in_line, self._cells = False, 0

    def _shown(self, token: re.Match[str]) -> str:
        colour, run, single = token.groups()
        if colour:
            self._colour(colour)
        elif run:
            self._add(run)
        elif single == "\n":
            self.begin_line()
        elif single == "\r":
            self._cells = 0
        elif single == "\b":
            if not self._cells:
                return ""
            self._cells -= 1
        else:
            run = printable(single)
            self._add(run)
            return run
        return token[0]

    def _add(self, run: str) -> None:
        if run:
            # A character that takes two columns or a tab counts as one: a backspace less.
            self._cells += len(run) if run.isascii() else min(len(run), width_of(run))
            self.in_line = True

    def _colour(self, sequence: str) -> None:
        if RESETS.match(sequence):
            self.colours = []
        if not re.fullmatch(r"\x1b\[0*m", sequence):
            self.colours = [*self.colours[1 - MOST_COLOURS :], sequence]
