"""Flags for the compiler: each one word, however it was written."""

from __future__ import annotations

import posixpath

from handouts.submit.relative_names import joined_name
from handouts.submit.wishes import Wish

# Those whose value may stand as a word of its own, and what joins the two. A value of the first
# kind may begin with a dash.
WITH_ANY_VALUE = {
    "-Xcompiler": "=", "--compiler-options": "=", "-Xptxas": "=", "--ptxas-options": "=",
    "-Xlinker": "=", "--linker-options": "=", "-Xcudafe": "=", "-Xnvlink": "=",
}  # fmt: skip
WITH_VALUE = {
    "-I": "", "-D": "", "-U": "", "-l": "", "-L": "", "-O": "",
    "-std": "=", "--std": "=", "-arch": "=", "--gpu-architecture": "=", "-code": "=",
    "--gpu-code": "=", "-gencode": "=", "--generate-code": "=", "-maxrregcount": "=",
    "--maxrregcount": "=",
}  # fmt: skip


def joined_flags(flags: list[Wish]) -> list[Wish]:
    """Each flag as one word: `-Xcompiler` and `-fopenmp` are `-Xcompiler=-fopenmp`. Raises Stop."""
    joined: list[Wish] = []
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        if rest and takes_value(flag.text, rest[0].text):
            by = WITH_ANY_VALUE.get(flag.text, WITH_VALUE.get(flag.text, ""))
            flag = Wish(flag.text + by + rest.pop(0).text, flag.place)
        check_flag(flag)
        joined.append(flag)
    return joined


def takes_value(flag: str, word: str) -> bool:
    """Whether the word after the flag is its value."""
    return flag in WITH_ANY_VALUE or (flag in WITH_VALUE and not word.startswith("-"))


def check_flag(flag: Wish) -> None:
    """Raises Stop for what is no single printable word; what is allowed, the queue knows."""
    text = flag.text
    if text.split() != [text] or not text.isprintable():
        raise flag.refuse(
            f'A flag is one word without spaces, which "{text}" is not; give each by itself.'
        )


def include_folders(flags: list[Wish]) -> list[str]:
    """The folders that `-I` names, seen from the main file's; those outside of it are kept too."""
    texts = [flag.text for flag in flags]
    values = [text[2:] for text in texts if text.startswith("-I")]
    values += [text.partition("=")[2] for text in texts if text.startswith("--include-path=")]
    folders = [joined_name("", value.lstrip("=")) for value in values if value.lstrip("=")]
    return ["" if folder == posixpath.curdir else folder for folder in folders]
