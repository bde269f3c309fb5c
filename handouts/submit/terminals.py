"""What an output can show: lines that are written anew, colours, more than ASCII."""

from __future__ import annotations

import os
from typing import Any

from handouts.submit.as_typed import with_whole_commands

RED, GREEN, YELLOW, CYAN, DIM = "31", "32", "33", "36", "2"
PLAIN = "\x1b[0m"
USUAL_COLUMNS = 80
WIDEST_TEXT = 100
# What stands for characters of ours where the encoding has none of them; no wider than they are.
IN_ASCII = {
    "·": "-",
    "…": "~",
    "○": "o",
    "◐": "+",
    "●": "*",
    "✗": "x",
    "µ": "u",
}
SHOWS_ESCAPES = 4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING of a console of Windows


class Look:
    """How lines of ours look on an output."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_terminal = bool(stream.isatty())
        self.takes_escapes = self.is_terminal and takes_escapes(stream)
        self.has_colours = self.takes_escapes and not os.environ.get("NO_COLOR")
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def columns(self) -> int:
        """How wide the terminal is at this moment."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):
            return USUAL_COLUMNS

    def coloured(self, text: str, colour: str) -> str:
        """The text in that colour, where colours are wanted."""
        return f"\x1b[{colour}m{text}{PLAIN}" if colour and self.has_colours else text

    def wrapped(self, text: str, by_commas: bool = False) -> str:
        """The text in lines of whole words, on a terminal; a command that it says stays in one.
        `by_commas`: what stands between two of them stays together, where it can."""
        if not self.is_terminal:
            return text
        return "\n".join(self._wrapped(line, by_commas) for line in text.split("\n"))

    def _wrapped(self, text: str, by_commas: bool) -> str:
        if width_of(text) <= self.columns:
            return text
        import textwrap  # only here, since it takes time to import

        width = max(20, min(self.columns, WIDEST_TEXT) - 1)
        text = with_whole_commands(text, "\xa0")
        long = next((word for word in text.split(" ") if width_of(word) > width), "")
        if "\xa0" in long:  # a command for which no line is long enough begins where it may
            head, _, tail = text.partition(f" {long}")
            text = f"{self._wrapped(head, by_commas)} {long}{tail}"
            return text.replace("\xa0", " ")
        # The dashes at both ends of a last line stay with the words beside them.
        text = text.replace("--- ", "---\xa0").replace(" ---", "\xa0---")
        parts = text.split(", ")
        if by_commas and max(map(width_of, parts)) < width:
            text = ", ".join(part.replace(" ", "\xa0") for part in parts)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        return text.replace("\xa0", " ")

    def encodable(self, text: str) -> str:
        """The text in characters that the output has, as far as they are ours."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            for character, instead in IN_ASCII.items():
                text = text.replace(character, instead)
        return text

    def encoded(self, text: str) -> bytes:
        """The text in the output's encoding; what that lacks is spelled out."""
        return self.encodable(text).encode(self.encoding, "backslashreplace")


def takes_escapes(stream: Any) -> bool:
    """Whether a terminal understands escape sequences."""
    if os.name == "nt":
        return os.environ.get("TERM") != "dumb" and turn_escapes_on(stream)
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def turn_escapes_on(stream: Any) -> bool:
    """On Windows a console has to be told; whether it understands them now."""
    import ctypes  # only here, since it takes time to import

    try:
        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
        kernel.GetStdHandle.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(kernel.GetStdHandle(-10 - stream.fileno()))
        mode = ctypes.c_ulong()
        return bool(
            kernel.GetConsoleMode(handle, ctypes.byref(mode))
            and kernel.SetConsoleMode(handle, mode.value | SHOWS_ESCAPES)
        )
    except (AttributeError, OSError, ValueError):
        return False


def width_of(text: str) -> int:
    """How many columns the text takes, if it has no control characters."""
    if all(character < "\u0300" or character in IN_ASCII for character in text):
        return len(text)
    import unicodedata  # only here, since it takes time to import

    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits with an ellipsis at its end."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) > columns - 1:
        text = text[:-1]
    return text + "…" if columns > 0 else ""
