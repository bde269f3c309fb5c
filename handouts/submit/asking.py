"""Asking for what does not belong on a command line."""

from __future__ import annotations

import sys

from handouts.client.words import warn
from handouts.submit.stop import WRONG_USAGE, Stop


def ask(words: str, is_secret: bool = False) -> str:
    """A line from the terminal, a secret unseen; or of standard input, if that is none.

    Raises Stop where there is nothing.
    """
    try:
        line = (ask_unseen if is_secret else ask_aloud)(words).strip()
    except (EOFError, OSError, UnicodeDecodeError):
        line = ""
    except KeyboardInterrupt:
        warn("")  # ends the line of the question
        raise
    if not line:
        raise Stop(WRONG_USAGE, "Nothing was given, and nothing is changed.")
    return line


def ask_aloud(words: str) -> str:
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        print(words, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def ask_unseen(words: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ask_aloud(words)
    import getpass  # only here, since it takes time to import

    return getpass.getpass(words)
