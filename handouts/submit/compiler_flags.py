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
    "--maxrregcount": "=", "-t": "=", "--threads": "=",
}  # fmt: skip


def joined_flags(flags: list[Wish]) -> list[Wish]:
    """Each flag as one word: `-Xcompiler` and `-fopenmp` are `-Xcompiler=-fopenmp`. Raises Stop."""
    joined: list[Wish] = []
    rest = list(reversed(flags))
    while rest:
        flag = rest.pop()
        if rest and takes_value(flag.text, rest[-1].text):
            by = WITH_ANY_VALUE.get(flag.text, WITH_VALUE.get(flag.text, ""))
            flag = Wish(flag.text + by + rest.pop().text, flag.place)
        elif flag.text != "-O" and (flag.text in WITH_VALUE or flag.text in WITH_ANY_VALUE):
            raise flag.refuse(missing_value(flag.text))
        check_flag(flag)
        joined.append(flag)
    return joined


def takes_value(flag: str, word: str) -> bool:
    """Whether the word after the flag is its value."""
    return flag in WITH_ANY_VALUE or (flag in WITH_VALUE and not word.startswith("-"))


def missing_value(flag: str) -> str:
    """What to say of a flag that stands without its value."""
    example = flag + WITH_ANY_VALUE.get(flag, WITH_VALUE.get(flag, "")) + "VALUE"
    return f"The value of the flag {flag} is missing; write both as one: {example}"


def check_flag(flag: Wish) -> None:
    """Raises Stop for what is no single printable word; what is allowed, the queue knows."""
    text = flag.text
    if text.split() != [text] or not text.isprintable():
        raise flag.refuse(
            f'A flag is one word without spaces, which "{text}" is not; give each by itself.'
        )


def check_python(main: str, flags: list[Wish]) -> None:
    """Raises Stop for flags that go with a Python program."""
    if flags and main.lower().endswith(".py"):
        raise flags[0].refuse(
            f"Python is not compiled: the flag {flags[0].text} has no use for {main}; leave it out."
        )


def include_folders(flags: list[Wish]) -> list[str]:
    """The folders that `-I` names, seen from the main file's; those outside of it are kept too."""
    texts = [flag.text for flag in flags]
    values = [text[2:] for text in texts if text.startswith("-I")]
    values += [text.partition("=")[2] for text in texts if text.startswith("--include-path=")]
    folders = [joined_name("", value.lstrip("=")) for value in values if value.lstrip("=")]
    return ["" if folder == posixpath.curdir else folder for folder in folders]
