#!/usr/bin/env python3
"""Makes executor.py and submit.py, one file each, from the packages beside this file.

    python3 handouts/build.py [--sources FOLDER] [--into FOLDER] [executor] [submit]

A script NAME is made from handouts/NAME/main.py and all that it imports, directly or not. A file
like init.c is imported as if it were a module: `from handouts.x.init_c import INIT_C`. What
sources must not do is in the error messages here and in source.py, and in docs/developing.md.
"""

import argparse
import sys
from pathlib import Path

from source import Module, Refused

PARTS = "handouts/client/parts.py"  # stands for the table of contents
NEW_LINE = "\n"
QUOTES = "'''"
TOP = """\
#!/usr/bin/env python3
{doc}

"""
HEAD = """\
from __future__ import annotations

{imports}

# Made from handouts/{script}/ and handouts/client/ by `make handouts`: change those.
# The parts of this file: where each begins, what it is made from, and the line there.
PARTS = (
"""


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


def check_names(modules, imports):
    """All sources share one namespace in the script."""
    owners = {name or module.split(".")[0]: "an import" for module, name in imports}
    for module in modules:
        for name, line in module.defines.items():
            if name in owners:
                module.refuse(line, f"{name} is also defined by {owners[name]}")
            owners[name] = module.file


def merged(imports):
    """The lines that import from the standard library, sorted as ruff does."""
    lines = [
        f"import {module}" for module in sorted(module for module, name in imports if not name)
    ]
    typing = []
    for source in sorted({module for module, name in imports if name}):
        names = [name for module, name in imports if module == source]
        names.sort(key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        line = f"from {source} import {', '.join(names)}"
        if source == "typing" and "NamedTuple" not in names:  # for annotations alone
            typing = ["", "TYPE_CHECKING = False  # importing typing takes longer than the program"]
            typing += ["if TYPE_CHECKING:", f"    {line}"]
        else:
            lines.append(line)
    return lines + typing


def start_of(script, sources, by_name):
    """What stands before the program, and after it.

    With handouts/NAME/start.py the program is a text, which that compiles, or has compiled before.
    """
    path = sources / f"handouts/{script}/start.py"
    if not path.exists():
        return "", ""
    for module in by_name.values():
        if QUOTES in module.body:
            module.refuse(1, f"{QUOTES} would end the text that the program is in")
    start = path.read_text(encoding="utf-8") + f"\n\nPROGRAM = r{QUOTES}\n"
    return start, f"{QUOTES}\nexec(code_of(PROGRAM), globals())\n"


def build(script, sources):
    """The text of a script."""
    by_name = {}
    collect(f"handouts.{script}.main", sources, by_name)
    imports = {one for module in by_name.values() for one in module.imports}
    imports = {(module, name) for module, name in imports if not module.startswith("handouts.")}
    check_names(by_name.values(), imports)
    *others, main = [module for module in by_name.values() if module.file != PARTS]
    doc, main.doc = "\n".join(main.doc), []
    lines = "\n".join(merged(imports))
    start, end = start_of(script, sources, by_name)
    top = TOP.format(doc=doc) + start
    if start:  # it speaks to a Python that is too old, and may be 2, which has to be told this
        top = top.replace(NEW_LINE, f"{NEW_LINE}# -*- coding: utf-8 -*-{NEW_LINE}", 1)
    top = top.replace("PROGRAM_LINE = 0 ", f"PROGRAM_LINE = {top.count(NEW_LINE)} ")
    text = top + HEAD.format(imports=lines, script=script)
    table, sections, table_end = "", "", text.count("\n") + len(others) + 3
    for module in (*others, main):
        comment = "\n".join(module.doc).strip('"\n').splitlines()
        banner = [f"--- {module.file} ".ljust(90, "-"), *([""] if comment else []), *comment]
        sections += "\n\n{}\n\n".format("".join(f"# {row}".rstrip() + "\n" for row in banner))
        line = table_end + sections.count("\n")
        table += f'    ({line}, "{module.file}", {module.first_line}),\n'
        sections += module.body
    return f"{text}{table})\n{sections}{end}"


def main():
    parser = argparse.ArgumentParser(description="Make executor.py and submit.py.")
    here = Path(__file__).resolve().parent.parent
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
