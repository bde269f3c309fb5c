"""Directives: comments in the first lines of the main file that say how it is to be submitted.

// telerun: --flag=-lcublas --platform h100 --with kernels.cu
// TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from handouts.client.words import warn
from handouts.submit.options import SourceParser
from handouts.submit.wishes import Wish, Wishes, refusal_at

DIRECTIVE = re.compile(r"(?://+|#+|%+)[ \t]*(TL\+?(?=[\s{]|$)|telerun:)(.*)", re.DOTALL)
BLOCKS = re.compile(r"\A\s*(?:/\*.*?\*/\s*)*")
# Such a line further below, meant as one for sure.
LATE = re.compile(r"[ \t]*(//+|#+|%+)[ \t]*(TL\+?[ \t]*\{|telerun:[ \t]*--)")
LISTS = {"header_files": "headers", "compile_flags": "flags", "workspace_files": "data"}
TL_FORM = 'the right form is: TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}'


def read_directives(source: str, name: str) -> Wishes:
    """What the file called `name` asks for in its first lines. Raises Stop with the line."""
    wishes = Wishes()
    number = 0
    for number, line in first_lines(source):
        found = DIRECTIVE.match(line)
        if found and found[1] == "telerun:":
            take_words(wishes, found[2], f"{name}:{number}")
        elif found:
            take_object(wishes, found[2], f"{name}:{number}", adds=found[1] == "TL+")
    for late, line in enumerate(source.split("\n")[number:], number + 1):
        if LATE.match(line):
            warn(f"{name}:{late}: is not read: directives stand before the first line of code.")
    return wishes


def first_lines(source: str) -> Iterator[tuple[int, str]]:
    """The lines before the first of code, with their numbers: comments, and # lines."""
    in_block = goes_on = False
    for number, line in enumerate(source.split("\n"), 1):
        begins_in_block = in_block
        text, in_block = without_blocks(line, in_block)
        if text and not goes_on and not text.startswith(("//", "#", "%")):
            return
        goes_on = text.endswith("\\") and (goes_on or text.startswith("#"))
        if not begins_in_block and not in_block:
            yield number, text


def without_blocks(line: str, in_block: bool) -> tuple[str, bool]:
    """The line without the block comments it begins with, and whether one goes on after it."""
    if in_block:
        _, end, line = line.partition("*/")
        if not end:
            return "", True
    rest = BLOCKS.sub("", line, count=1)
    return ("", True) if rest.startswith("/*") else (rest.strip(), False)


def take_words(wishes: Wishes, text: str, place: str) -> None:
    """A directive in the words of the command line. Raises Stop."""

    def refuse(why: str) -> None:
        raise refusal_at(place, f"telerun: is not understood: {why}.")

    parser = SourceParser(refuse)
    try:
        words = shlex.split(text)
    except ValueError as error:
        refuse(str(error).lower())
    if not words:
        refuse(parser.form)
    parser.take(words, wishes, place)


def take_object(wishes: Wishes, text: str, place: str, adds: bool) -> None:
    """A directive that is a JSON object. Raises Stop."""
    word = "TL+" if adds else "TL"
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise refusal_at(place, f"what follows {word} is no JSON object; {TL_FORM}")
    for key, value in content.items():
        check_member(key, value, place)
        if key == "platform":
            wishes.platform = Wish(value, place)
        else:
            added = [Wish(text, place) for text in value]
            before = getattr(wishes, LISTS[key]) if adds else []
            setattr(wishes, LISTS[key], before + added)


def check_member(key: str, value: Any, place: str) -> None:
    """Raises Stop for a key that there is not, and a value of another type."""
    if key == "platform":
        if not isinstance(value, str):
            raise refusal_at(place, '"platform" is no text; write it as: {"platform": "h100"}')
    elif key not in LISTS:
        known = ", ".join(["platform", *LISTS])
        raise refusal_at(place, f"there is no key {json.dumps(key)}; the keys are: {known}.")
    elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise refusal_at(place, f'"{key}" is no list of texts; write it as: {{"{key}": ["..."]}}')
