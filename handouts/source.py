"""One source of the two scripts, read and checked for what the builder can put together."""

import ast
import sys
import sysconfig
from itertools import chain
from pathlib import Path

FOLDERS = [Path(sysconfig.get_paths()[kind]) for kind in ("stdlib", "platstdlib")]
FILES = chain(*([*folder.glob("*"), *folder.glob("lib-dynload/*")] for folder in FOLDERS))
STANDARD = {"__future__", *sys.builtin_module_names, *(path.name.split(".")[0] for path in FILES)}


class Refused(Exception):
    """What is wrong with a source, with its file and line."""


class Module:
    """One source: what it imports, what it defines, and the text that goes into the script."""

    def __init__(self, name, sources):
        self.name = name
        path = name.replace(".", "/")
        stem, _, kind = path.rpartition("_")
        self.is_embedded = kind in ("c", "cu") and (sources / f"{stem}.{kind}").exists()
        self.file = f"{stem}.{kind}" if self.is_embedded else path + ".py"
        self.imports = {}  # (module, name) -> line; the name is "" for `import module`
        self.late = {}  # the same, of our own modules that a function imports
        for part in STANDARD.intersection(name.split(".")):
            self.refuse(1, f"{part} is the name of a module of the standard library")
        try:
            text = (sources / self.file).read_text(encoding="utf-8")
            if self.is_embedded:
                text = f'{name.split(".")[-1].upper()} = r"""\n{text}"""\n'
            self.parse(ast.parse(text, feature_version=(3, 8)), text.splitlines())
        except OSError as error:
            self.refuse(1, f"cannot be read: {error.strerror}")
        except SyntaxError as error:
            self.refuse(error.lineno or 1, f"is not Python 3.8: {error.msg}")

    def refuse(self, line, message):
        raise Refused(f"{self.file}:{line}: {message}")

    def parse(self, tree, lines):
        self.defines = {}  # name -> line
        start = tree.body[0].end_lineno if ast.get_docstring(tree) else 0
        self.doc = lines[:start]
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.take_import(node, node in tree.body)
                if is_late(node):
                    count = node.end_lineno - node.lineno
                    loading = [" " * node.col_offset + "load_late()", *[""] * count]
                    lines[node.lineno - 1 : node.end_lineno] = loading
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if self.defines:
                    self.refuse(node.lineno, "imports come before everything else")
                start = node.end_lineno
            for name in names_bound(node):
                self.defines.setdefault(name, node.lineno)
        while start < len(lines) and not lines[start]:
            start += 1
        self.first_line = start if self.is_embedded else start + 1
        self.body = "".join(line + "\n" for line in lines[start:])

    def take_import(self, node, is_top):
        for alias in node.names:
            is_from = isinstance(node, ast.ImportFrom)
            module, name = (node.module or "", alias.name) if is_from else (alias.name, "")
            if alias.asname or name == "*" or getattr(node, "level", 0):
                self.refuse(node.lineno, "no aliases, no star, no relative imports")
            if module.split(".")[0] == "handouts":
                if not (name and module.count(".") >= 2):
                    self.refuse(node.lineno, "say: from handouts.package.module import name")
            elif module.split(".")[0] not in STANDARD:
                self.refuse(node.lineno, f"{module} is not in the standard library")
            if module == "__future__":
                continue
            if is_top:
                self.imports[module, name] = node.lineno
            elif module.startswith("handouts."):
                self.late[module, name] = node.lineno


def is_late(node):
    """Whether a function imports one of our modules."""
    return bool(node.col_offset) and (getattr(node, "module", "") or "").startswith("handouts.")


def names_bound(node):
    """The names that a statement at the top of a module defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    return [one.id for one in names if isinstance(one.ctx, ast.Store)]
