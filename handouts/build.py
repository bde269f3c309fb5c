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
LATER_TEXT = "handouts/submit/later_text.py"  # and for what is seldom needed
STAND_FOR = (PARTS, LATER_TEXT)
# What is seldom needed, with all that nothing else imports (handouts/submit/later.py).
SELDOM = {"submit": ("handouts.submit.doctor", "handouts.submit.login")}
HEAD = """\
#!/usr/bin/env python3
{doc}

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


def standard(modules):
    """What the modules import from the standard library."""
    imports = {one for module in modules for one in module.imports}
    return {(module, name) for module, name in imports if not module.startswith("handouts.")}


def sections(modules, line):
    """The modules one after another, from this line on; their text, and their rows of the table."""
    text, table = "", ""
    for module in modules:
        comment = "\n".join(module.doc).strip('"\n').splitlines()
        banner = [f"--- {module.file} ".ljust(90, "-"), *([""] if comment else []), *comment]
        text += "\n\n{}\n\n".format("".join(f"# {row}".rstrip() + "\n" for row in banner))
        table += f'    ({line + text.count(chr(10))}, "{module.file}", {module.first_line}),\n'
        text += module.body
    return text, table


def seldom_text(modules, imports, line):
    """The modules as a text that begins on this line; and their rows of the table."""
    head = "# What is seldom needed, as a text: compiled when it is used (later.py).\n"
    head += f"LATER_LINE = {line + 1}\nLATER = r'''\n" + "\n".join(merged(imports))
    text, table = sections(modules, line + head.count("\n"))
    for module in modules:
        if "'''" in module.body:
            module.refuse(1, "it is needed seldom, and stands in a text: no ''' there")
    return f"{head}{text}'''\n", table


def build(script, sources):
    """The text of a script."""
    by_name = {}
    collect(f"handouts.{script}.main", sources, by_name)
    *others, main = [one for one in by_name.values() if one.file not in STAND_FOR]
    needed = {*by_name}
    for name in SELDOM.get(script, ()):
        collect(name, sources, by_name)
    later = [one for name, one in by_name.items() if name not in needed]
    check_names(by_name.values(), standard(by_name.values()))
    at_once = standard([*others, main])
    doc, main.doc = "\n".join(main.doc), []
    head = HEAD.format(doc=doc, imports="\n".join(merged(at_once)), script=script)
    line = head.count("\n") + len(others) + len(later) + 3  # after the table
    text, rows = seldom_text(later, standard(later) - at_once, line) if later else ("", "")
    body, more_rows = sections([*others, main], line + text.count("\n"))
    return f"{head}{rows}{more_rows})\n{text}{body}"


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
