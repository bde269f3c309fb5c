"""Untrusted bytes made safe to look at."""

import re

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]"
)


def printable(data: bytes) -> str:
    """Text with every control character, bidirectional override and stray byte spelled out.

    Newlines and tabs stay. A byte that is not UTF-8 becomes `\\xNN`.
    """
    text = bytes(data).decode("utf-8", "surrogateescape")
    return text.translate(_SPELLED) if _CONTROL.search(text) else text


def _spelled(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# A table: a log may be a million of them.
_SPELLED = {code: _spelled(code) for code in range(0xE000) if _CONTROL.match(chr(code))}
