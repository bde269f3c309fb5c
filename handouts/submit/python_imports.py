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
    from[ \t]+(?P<dots>[. ]{0,99})(?P<module>(?:\w[\w.]*)?)[ \t]+import[ \t]*
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
    """The modules that the text may import; some may be no modules but names in one."""
    for found in re.finditer(IMPORT, text, re.MULTILINE | re.VERBOSE):
        line = text.count("\n", 0, found.start(found.lastgroup or 0)) + 1
        if found["modules"]:
            for module in listed_names(found["modules"]):
                yield Import(line, 0, module.split("."))
            continue
        dots = found["dots"].count(".")
        parts = [part for part in found["module"].split(".") if part]
        for name in listed_names(found["names"]):
            yield Import(line, dots, [*parts, name])


def listed_names(names: str) -> list[str]:
    """The names in a list such as `a as b, c.d`; "*" is kept, and is none of a file."""
    words = [name.split() for name in re.sub(r"#[^\n]*|[()\\]", " ", names).split(",")]
    return [parts[0] for parts in words if parts and re.fullmatch(r"[\w.]+|\*", parts[0])]


def module_files(root: Path, folder: str, parts: list[str]) -> list[str]:
    """The names of the files that make the module, sought from `folder` below `root`."""
    files = []
    for part in filter(None, parts):
        base = f"{folder}/{part}" if folder else part
        if os.path.isfile(root / base / "__init__.py"):
            files.append(base + "/__init__.py")
        elif os.path.isfile(root / (base + ".py")):
            return [*files, base + ".py"]
        elif not os.path.isdir(root / base):
            break
        folder = base
    return files
