"""Text of anybody's, safe to look at."""

from typing import Any

from django import template

from foundation.text import printable

register = template.Library()


@register.filter
def plain(text: Any) -> str:
    """Every control character and change of direction spelled out; Django escapes the rest."""
    return printable(str(text).encode("utf-8", "backslashreplace"))
