"""Files that hold text, but not as UTF-8."""

from __future__ import annotations

import codecs

UTF_16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
LOOKED_AT_BYTES = 4096
STRANGE = 20  # of so many characters, one at most may be none of a text's


def is_utf_16(data: bytes) -> bool:
    """Whether the bytes are text in UTF-16, which PowerShell's `>` writes: with its mark, or with a
    NUL beside most of the first characters."""
    encoding = UTF_16_MARKS.get(data[:2], "")
    begin = data[:64]
    pairs = len(begin) // 2
    if not encoding and pairs > 1:
        of_each = {"utf-16-be": begin[0::2].count(0), "utf-16-le": begin[1::2].count(0)}
        encoding = next((one for one in of_each if of_each[one] > pairs * 3 // 4), "")
    return bool(encoding) and is_text(data[:LOOKED_AT_BYTES], encoding)


def is_text(data: bytes, encoding: str) -> bool:
    """Whether the bytes, which may end within a character, make sense in that encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    strange = sum(not (one.isprintable() or one in "\ufeff\t\n\v\f\r") for one in text)
    return strange * STRANGE <= len(text)


def about_utf_16(shown: str, path: str) -> str:
    """What is wrong with such a file, which is called `shown`, and how to save it."""
    name = f'"{path}"' if " " in path else path
    return (
        f"{shown} is in UTF-16, as PowerShell's > writes it. Save it as UTF-8: in the editor, or "
        f"with (Get-Content {name}) | Set-Content -Encoding utf8 {name}"
    )
