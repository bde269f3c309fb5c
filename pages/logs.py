"""Logs as a page shows them: what fits, as text; the rest is in the raw log."""

import json
from typing import NamedTuple

from foundation import figures
from foundation.api.answers import log_text
from foundation.text import printable
from jobs.models import Attempt

LOGS = {"compile": "The compiler", "execute": "Output"}
SHOWN_BYTES = 128 * 1024  # more would slow a browser down
_STYLED = (b"\x1b", b"\r", b"\b")  # what a terminal acts on, and a script of ours does


class ShownLog(NamedTuple):
    """A log, or a part of it."""

    name: str  # "compile" or "execute"
    title: str
    number: int  # of its attempt
    text: str  # every control character spelled out
    raw: str  # the same as a JSON string, where a terminal would show something else; or ""
    left_out_before: str  # how much; "" for nothing
    left_out_after: str


def logs_of(attempt: Attempt) -> list[ShownLog]:
    """Those in which something is: of the compiler's the beginning, of the program's the end."""
    shown = []
    for name, title in LOGS.items():
        content = bytes(getattr(attempt, f"{name}_log"))
        beyond = max(0, len(content) - SHOWN_BYTES)
        before = _to_next_line(content, beyond) if name == "execute" else 0
        part = content[before : before + SHOWN_BYTES]
        if part:
            is_styled = any(byte in part for byte in _STYLED)
            raw = json.dumps(log_text(part)) if is_styled else ""
            after = len(content) - before - len(part)
            text = printable(part)
            left_out = (_size(before), _size(after))
            shown.append(ShownLog(name, title, attempt.number, text, raw, *left_out))
    return shown


def _to_next_line(content: bytes, start: int) -> int:
    """Where the next line begins, if that is near."""
    newline = content.find(b"\n", start, start + 4096) if start else -1
    return newline + 1 if newline >= 0 else start


def _size(count: int) -> str:
    return figures.size(count) if count else ""
