"""How this program was called, so that a hint can be typed as it stands."""

from __future__ import annotations

import os
import re
import sys

_said: list[str] = []  # commands
_given: list[str] = []  # such as --auth FILE, without which a hint would ask somebody else


def remember(*options: str) -> None:
    """These options were given, and belong to each hint."""
    _given[:] = options


def as_typed(*words: str) -> str:
    """The command with these words, such as "python3 submit.py --attach 58"."""
    command = " ".join(quoted(word) for word in [*program(), *words, *_given])
    _said.append(command)
    return command


def with_whole_commands(text: str, blank: str) -> str:
    """The text with another character for the blanks of its commands, so that none is broken."""
    for command in _said:
        text = text.replace(command, command.replace(" ", blank))
    return text


def program() -> list[str]:
    """The words before the first argument."""
    script = sys.argv[0] or "submit.py"
    typed = list(getattr(sys, "orig_argv", []))  # from Python 3.10 on
    if script in typed:
        return typed[: typed.index(script) + 1]
    if os.name == "nt":
        return ["py", "-3", script]
    return ["python3", script]


def quoted(word: str) -> str:
    """A word as a shell takes it; in double quotes, which Windows knows too."""
    if re.fullmatch(r"[\w@%+=:,./\\~-]+", word):
        return word
    return '"' + re.sub(r'(["$`\\])', r"\\\1" if os.name != "nt" else r"\1", word) + '"'
