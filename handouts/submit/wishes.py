"""What is asked for beside the main file, on the command line and in its directives."""

from __future__ import annotations

from handouts.submit.stop import WRONG_USAGE, Stop


class Wish:
    """A word, and where it stands: a file's name and line, or "" for the command line."""

    def __init__(self, text: str, place: str = "") -> None:
        self.text = text
        self.place = place

    def refuse(self, message: str) -> Stop:
        """The error, to be raised, that says what is wrong with it."""
        return refusal_at(self.place, message)


class Wishes:
    """All of them."""

    def __init__(self) -> None:
        self.flags: list[Wish] = []  # for the compiler
        self.beside: list[Wish] = []  # files, of which sources are compiled too
        self.headers: list[Wish] = []  # files that are not compiled by themselves
        self.data: list[Wish] = []  # files that the program reads
        self.platform = Wish("")
        self.asm = False


def refusal_at(place: str, message: str) -> Stop:
    """The error for something that stands at `place`."""
    return Stop(WRONG_USAGE, in_one_line(f"{place}: {message}" if place else message))


def in_one_line(text: str) -> str:
    """The text with all that is no printable character spelled out."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
