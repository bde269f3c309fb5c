"""Directives: comments in the first lines of the main file that say how it is to be submitted.

// telerun: --flag=-lcublas --platform h100 --with kernels.cu
// TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from handouts.submit.notices import tell
from handouts.submit.source_options import SourceParser
from handouts.submit.wishes import Wish, Wishes, refusal_at

DIRECTIVE = re.compile(
    r"(?://+|#+|%+)[ \t]*(TL(?=[ \t]*\{)|TL\+(?=[\s{]|$)|telerun:)(.*)", re.DOTALL
)
BLOCKS = re.compile(r"\A\s*(?:/\*.*?\*/\s*)*")
# What was meant as a directive: in other letters, or in a block comment.
NEAR = re.compile(
    r"""[ \t]*(?:
      (?://+|\#+|%+)[ \t]*(?:TL[ \t+:]*\{|telerun[ \t]*:|telerun[ \t]+--[a-z])
    | (?:(?:/\*+|\*+|//+)[ \t]*)?(?:TL[ \t+:]*\{|telerun[ \t:]*--[a-z])
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# One that stands further below, meant as one for sure.
LATE = re.compile(r"[ \t]*(//+|#+|%+)[ \t]*(TL\+?[ \t]*\{|telerun:[ \t]*--)", re.IGNORECASE)
COMMENT = re.compile("//|/\\*|#|%")  # may stand after an object
MAX_DIRECTIVES, SHOWN_LINES = 256, 5
MAX_WORDS_LENGTH = 8192
LISTS = {"header_files": "headers", "compile_flags": "flags", "workspace_files": "data"}
TL_FORM = 'the right form is: TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}'
FORMS = 'telerun: --platform h100 --flag=-lcuda, or TL+ {"platform": "h100"}'


def read_directives(source: str, name: str) -> Wishes:
    """What the file called `name` asks for in its first lines. Raises Stop with the line."""
    wishes, lines = Wishes(), source.split("\n")
    number = count = 0
    near = []
    for number, line in first_lines(lines):
        found = DIRECTIVE.match(line)
        if found is None:
            if lines[number - 1] and NEAR.match(lines[number - 1]):
                near.append(number)
            continue
        place, count = f"{name}:{number}", count + 1
        if count > MAX_DIRECTIVES:
            raise refusal_at(place, f"a file has at most {MAX_DIRECTIVES} directives.")
        if found[1] == "telerun:":
            take_words(wishes, found[2], place)
        else:
            take_object(wishes, found[2], place, adds=found[1] == "TL+")
    sign = "#" if name.lower().endswith(".py") else "//"
    warn_at(name, near, f"is no directive in this form; write it as {sign} {FORMS}")
    late = [at for at, line in enumerate(lines[number:], number + 1) if LATE.match(line)]
    warn_at(name, late, "is not read: directives stand before the first line of code.")
    return wishes


def warn_at(name: str, lines: list[int], message: str) -> None:
    """Says it of each line, or of the first ones and how many more there are."""
    for line in lines[:SHOWN_LINES]:
        tell(f"{name}:{line}: {message}")
    if len(lines) > SHOWN_LINES:
        tell(f"And {len(lines) - SHOWN_LINES} more such lines in {name}.")


def first_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines before the first of code, with their numbers: comments, and # lines.

    Of what stands in block comments, nothing.
    """
    in_block = goes_on = False
    for number, line in enumerate(lines, 1):
        begins_in_block = in_block
        text, in_block = without_blocks(line, in_block)
        if text and not goes_on and not text.startswith(("//", "#", "%")):
            return
        goes_on = text.endswith("\\") and (goes_on or text.startswith("#"))
        yield number, "" if begins_in_block or in_block else text


def without_blocks(line: str, in_block: bool) -> tuple[str, bool]:
    """The line without the block comments it begins with, and whether one goes on after it."""
    if not line or line.isspace():
        return "", in_block
    if in_block:
        _, end, line = line.partition("*/")
        if not end:
            return "", True
    rest = BLOCKS.sub("", line, count=1)
    return ("", True) if rest.startswith("/*") else (rest.strip(), False)


def take_words(wishes: Wishes, text: str, place: str) -> None:
    """A directive in the words of the command line. Raises Stop."""
    import shlex  # only here, since it takes time to import

    def refuse(why: str) -> None:
        raise refusal_at(place, f"telerun: is not understood: {why}.")

    if len(text) > MAX_WORDS_LENGTH:  # shlex takes long over them
        refuse(f"it is longer than {MAX_WORDS_LENGTH} characters")
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
    content = object_in(text, "TL+" if adds else "TL", place)
    for key, value in content.items():
        check_member(key, value, place)
        if key == "platform":
            wishes.platform = Wish(value.lower(), place)
        else:
            added = [Wish(text, place) for text in value]
            before = getattr(wishes, LISTS[key]) if adds else []
            setattr(wishes, LISTS[key], before + added)


def object_in(text: str, word: str, place: str) -> dict[str, Any]:
    """The object that follows the word TL or TL+; a comment may come after it. Raises Stop."""
    text = text.strip()
    try:
        content, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        if text.startswith("{") and text.count("{") + text.count("[") > text.count(
            "}"
        ) + text.count("]"):
            raise refusal_at(place, f"the object has to stand on one line; {TL_FORM}") from None
        content, end = None, 0
    if not isinstance(content, dict):
        raise refusal_at(place, f"what follows {word} is no JSON object; {TL_FORM}")
    rest = text[end:].strip()
    if rest and not COMMENT.match(rest):
        raise refusal_at(place, f"after the object of {word} only a comment may stand; {TL_FORM}")
    return content


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
