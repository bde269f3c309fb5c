"""Files that hold text, but not as UTF-8."""

from __future__ import annotations


def is_utf_16(data: bytes) -> bool:
    """Whether the bytes look like UTF-16, which PowerShell's `>` writes: with its mark, or with a
    NUL beside most of the first characters."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    begin = data[:64]
    pairs = len(begin) // 2
    return pairs > 1 and max(begin[0::2].count(0), begin[1::2].count(0)) > pairs * 3 // 4


def about_utf_16(shown: str, path: str) -> str:
    """What is wrong with such a file, which is called `shown`, and how to save it."""
    name = f'"{path}"' if " " in path else path
    return (
        f"{shown} is in UTF-16, as PowerShell's > writes it. Save it as UTF-8: in the editor, or "
        f"with (Get-Content {name}) | Set-Content -Encoding utf8 {name}"
    )
