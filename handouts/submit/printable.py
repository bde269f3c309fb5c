"""Text that is safe to print on a terminal, whoever wrote it."""

from __future__ import annotations

import re

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """The text with its control characters spelled out."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
