"""Untrusted bytes made safe to look at."""

import re

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]"
)


def printable(data: bytes) -> str:
    """Text with every control character, bidirectional override and stray byte spelled out.

    Newlines and tabs stay. A byte that is not UTF-8 becomes `\\xNN`.
    """
    return _CONTROL.sub(_spell, bytes(data).decode("utf-8", "surrogateescape"))


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
