#!/usr/bin/env python3
"""Makes executor.py and submit.py, one file each, from the packages beside this file.

    python3 handouts/build.py [--sources FOLDER] [--into FOLDER] [executor] [submit]

A script NAME is made from handouts/NAME/main.py and all that it imports, directly or not. A file
like init.c is imported as if it were a module: `from handouts.x.init_c import INIT_C`. What
sources must not do is in the error messages below, and in docs/developing.md.
"""

import argparse
import ast
import sys
import sysconfig
from pathlib import Path

PARTS = "handouts/client/parts.py"  # stands for the table of contents
FOLDERS = [sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib")]
FILES = [path for folder in FOLDERS for name in ("*", "lib-dynload/*") for path in Path(folder).glob(name)]  # fmt: skip  # noqa: E501
STANDARD = {"__future__", *sys.builtin_module_names, *(path.name.split(".")[0] for path in FILES)}


class Refused(Exception):
    """What is wrong with a source, with its file and line."""


class Module:
    """One source: what it imports, what it defines, and the text that goes into the script."""

    def __init__(self, name, sources):
        stem, _, kind = name.replace(".", "/").rpartition("_")
        self.file = name.replace(".", "/") + ".py"
        self.imports = {}  # (module, name) -> line; the name is "" for `import module`
        standard = [part for part in name.split(".") if part in STANDARD]
        if standard:
            self.refuse(1, f"{standard[0]} is the name of a module of the standard library")
        try:
            if kind in ("c", "cu") and (sources / f"{stem}.{kind}").exists():
                self.file = f"{stem}.{kind}"
                text = (sources / self.file).read_text(encoding="utf-8")
                text = f'{name.rpartition(".")[2].upper()} = r"""\n{text}"""\n'
            else:
                text = (sources / self.file).read_text(encoding="utf-8")
            self.parse(ast.parse(text, feature_version=(3, 8)), text.splitlines())
        except OSError as error:
            self.refuse(1, f"cannot be read: {error.strerror}")
        except SyntaxError as error:
            self.refuse(error.lineno or 1, f"is not Python 3.8: {error.msg}")

    def refuse(self, line, message):
        raise Refused(f"{self.file}:{line}: {message}")

    def parse(self, tree, lines):
        self.doc = ast.get_docstring(tree) or ""
        start, self.defines = 0, {}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.take_import(node, node in tree.body)
        for node in tree.body[1 if self.doc else 0 :]:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if self.defines:
                    self.refuse(node.lineno, "imports come before everything else")
                start = node.end_lineno
            for name in names_bound(node):
                self.defines.setdefault(name, node.lineno)
        while start < len(lines) and not lines[start]:
            start += 1
        self.first_line, self.body = start + 1, "\n".join(lines[start:]) + "\n"

    def take_import(self, node, is_top):
        for alias in node.names:
            is_from = isinstance(node, ast.ImportFrom)
            module, name = (node.module or "", alias.name) if is_from else (alias.name, "")
            if alias.asname or name == "*" or getattr(node, "level", 0):
                self.refuse(node.lineno, "no aliases, no star, no relative imports")
            if module.split(".")[0] == "handouts":
                if not (name and is_top and module.count(".") >= 2):
                    self.refuse(node.lineno, "say: from handouts.package.module import name")
            elif module.split(".")[0] not in STANDARD:
                self.refuse(node.lineno, f"{module} is not in the standard library")
            if is_top and module != "__future__":
                self.imports[module, name] = node.lineno


def names_bound(node):
    """The names that a statement at the top of a module defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    return [one.id for one in names if isinstance(one.ctx, ast.Store)]


def collect(name, sources, modules, importers=()):
    """Adds a module to the dict `modules`, after all that it imports."""
    module = Module(name, sources)
    for (imported, wanted), line in module.imports.items():
        if imported.startswith("handouts."):
            if imported in (*importers, name):
                module.refuse(line, f"an import cycle: {imported} imports this module")
            if imported not in modules:
                collect(imported, sources, modules, (*importers, name))
            if wanted not in modules[imported].defines:
                module.refuse(line, f"{imported} defines no {wanted}")
    modules[name] = module


def merge_imports(modules):
    """The lines that import from the standard library, sorted as ruff does; their names."""
    found = {one for module in modules for one in module.imports if one[0][:9] != "handouts."}
    lines = [f"import {module}" for module in sorted(module for module, name in found if not name)]
    typing = []
    for source in sorted({module for module, name in found if name}):
        names = [name for module, name in found if module == source]
        names.sort(key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        line = f"from {source} import {', '.join(names)}"
        if source == "typing" and "NamedTuple" not in names:  # for annotations alone
            typing = ["", "TYPE_CHECKING = False  # importing typing takes longer than the program"]
            typing += ["if TYPE_CHECKING:", f"    {line}"]
        else:
            lines.append(line)
    return [*lines, *typing], {name or module.split(".")[0] for module, name in found}


def build(script, sources):
    """The text of a script."""
    by_name = {}
    collect(f"handouts.{script}.main", sources, by_name)
    modules = [module for module in by_name.values() if module.file != PARTS]
    lines, names = merge_imports(modules)
    owners = {**dict.fromkeys(names, "an import"), "PARTS": PARTS}
    for module in modules:
        for name, line in module.defines.items():
            if name in owners:
                module.refuse(line, f"{name} is also defined by {owners[name]}")
            owners[name] = module.file
    text = f'#!/usr/bin/env python3\n"""{modules[-1].doc}\n"""\n\n'
    text += "\n".join(["from __future__ import annotations", "", *lines, ""])
    text += (
        f"\n# Made from handouts/{script}/ and handouts/client/ by `make handouts`: change those.\n"
    )
    text += (
        "# The parts of this file: where each begins, what it is made from, and the line there.\n"
    )
    sections, table = "", ""
    line = text.count("\n") + len(modules) + 3
    for module in modules:
        doc = "" if module is modules[-1] else f"\n\n{module.doc}" if module.doc else ""
        banner = f"--- {module.file} ".ljust(90, "-") + doc
        sections += (
            "\n\n" + "".join(f"# {row}".rstrip() + "\n" for row in banner.split("\n")) + "\n\n"
        )
        row = line + sections.count("\n")
        table += f'    ({row}, "{module.file}", {module.first_line}),\n'
        sections += module.body
    return f"{text}PARTS = (\n{table})\n{sections}"


def main():
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Make executor.py and submit.py.")
    parser.add_argument("scripts", nargs="*", default=["executor", "submit"])
    parser.add_argument("--sources", type=Path, default=here, help="the folder of handouts/")
    parser.add_argument("--into", type=Path, default=here, help="where the scripts go")
    options = parser.parse_args()
    try:
        texts = {script: build(script, options.sources) for script in options.scripts}
    except Refused as refused:
        return str(refused)
    for script, text in texts.items():
        (options.into / f"{script}.py").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
