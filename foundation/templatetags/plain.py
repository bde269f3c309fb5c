"""Text of anybody's, safe to look at."""

import shlex
from typing import Any

from django import template

from foundation.text import printable

register = template.Library()


@register.filter
def plain(text: Any) -> str:
    """Every control character and change of direction spelled out; Django escapes the rest."""
    return printable(str(text).encode("utf-8", "backslashreplace"))


@register.filter
def words(arguments: list[str]) -> str:
    """A program's arguments as one would type them."""
    return plain(shlex.join(arguments))


@register.filter
def within(words: list[str], most: int) -> list[str]:
    """As much of the words as has so many characters, one counted for each word; then "…"."""
    shown = []
    for word in words:
        if most < len(word):
            return [*shown, word[:most] + "…"]
        shown.append(word)
        most -= len(word) + 1
    return shown
