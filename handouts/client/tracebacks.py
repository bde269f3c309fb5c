"""Tracebacks that also name the source file, because a script is made from many."""

from __future__ import annotations

import re
import sys
from typing import Any

from handouts.client.parts import PARTS


def place_in_source(number: int) -> str:
    """Where a line of this script stands in the sources; "" for one that the builder wrote."""
    for first, source, first_in_source in reversed(PARTS):
        if first <= number:
            return f"{source}, line {number - first + first_in_source}"
    return ""


def traceback_of(error: BaseException) -> str:
    """The usual traceback, with a place in the sources after each line number of this script."""
    import traceback  # only here, since it takes time to import

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    script = traceback_of.__code__.co_filename

    def with_place(frame: Any) -> str:
        place = place_in_source(int(frame[1]))
        return f"{frame[0]} ({place})" if place else frame[0]

    frames = rf'^  File "{re.escape(script)}", line (\d+).*$'
    return re.sub(frames, with_place, text, flags=re.MULTILINE)


def print_unexpected(_kind: Any, error: BaseException, _frames: Any) -> None:
    """For sys.excepthook: what ends this script and is no expected error."""
    sys.stderr.write(traceback_of(error))
