"""Files that are no text, by how they begin."""

from __future__ import annotations

import posixpath

ARCHIVE = "an archive"
COMPILED = "a compiled program"
# The first bytes of a file, and what it then is.
BEGINNINGS = (
    (b"\x7fELF", f"{COMPILED} (ELF)"),
    (b"MZ", f"{COMPILED} (for Windows)"),
    (b"\xcf\xfa\xed\xfe", f"{COMPILED} (for macOS)"),
    (b"\xce\xfa\xed\xfe", f"{COMPILED} (for macOS)"),
    (b"\xca\xfe\xba\xbe", f"{COMPILED} (for macOS or Java)"),
    (b"!<arch>\n", f"{COMPILED}'s library"),
    (b"PK\x03\x04", f"{ARCHIVE} (zip) or a document of Office"),
    (b"\x1f\x8b", f"{ARCHIVE} (gzip)"),
    (b"BZh", f"{ARCHIVE} (bzip2)"),
    (b"\xfd7zXZ\x00", f"{ARCHIVE} (xz)"),
    (b"\x28\xb5\x2f\xfd", f"{ARCHIVE} (zstd)"),
    (b"7z\xbc\xaf\x27\x1c", f"{ARCHIVE} (7z)"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "a document of a word processor (RTF)"),
    (b"\xd0\xcf\x11\xe0", "a document of Office"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"RIFF", "an image or a sound (RIFF)"),
    (b"SQLite format 3\x00", "a database (SQLite)"),
)
TEXT_BEGINNINGS = (b"MZ", b"BZh", b"RIFF", b"GIF8")  # with which a source may begin, too


def kind_of(data: bytes) -> str:
    """What a file is that is no text, such as "an image (PNG)"; "" where that is not known."""
    for beginning, kind in BEGINNINGS:
        if data.startswith(beginning):
            is_sure = beginning not in TEXT_BEGINNINGS or has_strange_bytes(data[:512])
            return kind if is_sure else ""
    if data[257:262] == b"ustar":
        return f"{ARCHIVE} (tar)"
    return "a compiled program (of Python)" if data[2:4] == b"\r\n" and b"\0" in data[:16] else ""


def has_strange_bytes(data: bytes) -> bool:
    """Whether there are such as no source has."""
    return any(byte < 9 or 13 < byte < 27 for byte in data)


def about_no_text(data: bytes, shown: str) -> str:
    """What is wrong with such a file, which is called `shown`; "" for one that may be text."""
    kind = kind_of(data)
    if not kind:
        return ""
    if kind.startswith(COMPILED):
        return f"{shown} is {kind}; send its source{source_of(shown, kind)}."
    mend = "unpack it, and send the source in it" if ARCHIVE in kind else "send a source file"
    return f"{shown} is no text, but {kind}; {mend}."


def source_of(shown: str, kind: str) -> str:
    """What a program's source is called, as a rule; "" where the file is called so itself."""
    stem, ending = posixpath.splitext(shown)
    if "Python" in kind:
        return ""
    return f", such as {stem}.cu" if ending != ".cu" else ""
