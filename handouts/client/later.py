"""Parts of a script that are compiled when they are needed.

Python compiles a script anew at each start, and most starts need few of its parts. A source that
is imported inside of functions only stands in the script as text, and the builder puts a call of
`load_part` where the import stood.
"""

from __future__ import annotations

# By source: the line of the script where the text begins, and the text.
LATER: dict[str, tuple[int, str]] = {}


def load_part(source: str) -> None:
    """Defines what that source defines, among the script's own names, if it has not been done."""
    line, text = LATER.pop(source, (0, ""))
    if text:  # compiled as if it stood there, so that a traceback names its line
        script = load_part.__code__.co_filename
        exec(compile("\n" * (line - 1) + text, script, "exec"), globals())  # noqa: S102
