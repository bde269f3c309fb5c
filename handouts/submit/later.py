"""Parts that few need stand in the script as a text, which is compiled when one of them is used:
Python compiles a script anew at each start, and every student waits for that."""

from __future__ import annotations

from typing import Any

from handouts.submit.later_text import LATER, LATER_LINE

_compiled: list[str] = []


def later(name: str) -> Any:
    """What is called so in those parts."""
    if not _compiled:
        _compiled.append(name)
        # Tracebacks count lines from the beginning of the script.
        exec(compile("\n" * LATER_LINE + LATER, __file__, "exec"), globals())  # noqa: S102
    return globals()[name]


def __getattr__(name: str) -> Any:
    """For who imports the script: all parts at once."""
    if name.startswith("__"):
        raise AttributeError(name)
    later("__name__")
    try:
        return globals()[name]
    except KeyError:
        raise AttributeError(name) from None
