"""What a Python file imports, as far as it lies beside it.

It is read with regular expressions: the student's Python may be older than the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

# Made ready only where there is Python: that takes longer than all else here.
IMPORT = r"""(?:^|[;:])[ \t]*(?:
    from(?=[ \t.])(?P<dots>[ \t.]*)(?:(?P<module>\w[\w.]*)[ \t]+)?import(?!\w)[ \t]*
      (?P<names>\([^)]{0,9999}\)?|(?:\\\r?\n|[^;\n\#])+)
  | import[ \t]+(?P<modules>(?:\\\r?\n|[^;\n\#])+)
  )"""


class Import:
    """One module that a line may mean: its parts, and the dots before it."""

    def __init__(self, line: int, dots: int, parts: list[str]) -> None:
        self.line = line
        self.dots = dots
        self.parts = parts


def python_imports(text: str) -> Iterator[Import]:
    """The modules that the text may import, each once; some may be no modules but names in one."""
    line, counted, seen = 1, 0, set()
    for found in re.finditer(IMPORT, text, re.MULTILINE | re.VERBOSE):
        start = found.start(found.lastgroup or 0)
        line += text.count("\n", counted, start)
        counted = start
        for dots, module in modules_of(found):
            if (dots, module) not in seen:
                seen.add((dots, module))
                yield Import(line, dots, module.split("."))


def modules_of(found: re.Match[str]) -> Iterator[tuple[int, str]]:
    """What one statement may mean: dots, and the name after them."""
    if found["modules"]:
        for module in listed_names(found["modules"]):
            yield 0, module
        return
    module = (found["module"] or "").strip(".")
    for name in listed_names(found["names"]):
        yield found["dots"].count("."), f"{module}.{name}" if module else name


def listed_names(names: str) -> list[str]:
    """The names in a list such as `a as b, c.d`; "*" is kept, and is none of a file."""
    words = [name.split() for name in re.sub(r"#[^\n]*|[()\\]", " ", names).split(",")]
    return [parts[0] for parts in words if parts and re.fullmatch(r"[\w.]+|\*", parts[0])]


def module_files(root: Path, folder: str, parts: list[str]) -> list[str]:
    """The names of the files that make the module, sought from `folder` below `root`."""
    files = []
    for part in filter(None, parts):
        base = f"{folder}/{part}" if folder else part
        path = os.path.join(root, base)
        is_folder = os.path.isdir(path)
        if is_folder and os.path.isfile(path + "/__init__.py"):
            files.append(base + "/__init__.py")
        elif os.path.isfile(path + ".py"):
            return [*files, base + ".py"]
        elif not is_folder:
            break
        folder = base
    return files
