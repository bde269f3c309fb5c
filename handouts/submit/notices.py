"""Lines on standard error that are no errors: --quiet leaves them out."""

from __future__ import annotations

import sys

from handouts.client.words import warn
from handouts.submit.terminals import Look

_silenced: list[bool] = []


def be_quiet() -> None:
    """From now on only errors are said."""
    _silenced.append(True)


def is_quiet() -> bool:
    return bool(_silenced)


def tell(message: str) -> None:
    """A line on standard error; on a terminal in lines of whole words."""
    warn(Look(sys.stderr).wrapped(message))


def notice(message: str) -> None:
    """One line on standard error, unless nothing but errors is wanted there."""
    if not _silenced:
        tell(message)
