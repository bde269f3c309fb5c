#!/usr/bin/env python3
"""Makes executor.py and submit.py, one file each, from the packages beside this file.

    python3 handouts/build.py [--sources FOLDER] [--into FOLDER] [executor] [submit]

A script NAME is made from handouts/NAME/main.py and all that it imports, directly or not. What only
functions import is compiled when the first of them is called: a script is compiled at each start,
and that takes its time. A file like init.c is imported as if it were a module:
`from handouts.x.init_c import INIT_C`. What sources must not do is in the error messages here and
in source.py, and in docs/developing.md.
"""

import argparse
import sys
from pathlib import Path

from source import Module, Refused

PARTS = "handouts/client/parts.py"  # stands for the table of contents
HEAD = """\
#!/usr/bin/env python3
{doc}

from __future__ import annotations

{imports}

# Made from handouts/{script}/ and handouts/client/ by `make handouts`: change those.
# The parts of this file: where each begins, what it is made from, and the line there.
PARTS = (
"""
LATE = """

# The parts from here on are compiled once one of them is needed.
LATE_PARTS = r'''"""
LOAD_LATE = """\
'''


def load_late():
    global LATE_PARTS
    text, LATE_PARTS = LATE_PARTS, ""
    exec(compile("\\n" * {before} + text, __file__, "exec"), globals())
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
            check_defined(module, line, modules[imported], wanted)
    modules[name] = module


def check_defined(module, line, imported, wanted):
    if wanted not in imported.defines:
        module.refuse(line, f"{imported.name} defines no {wanted}")


def collect_late(sources, early):
    """The modules that functions alone import, after what those import."""
    modules = dict(early)
    to_do = list(modules.values())
    while to_do:
        module = to_do.pop(0)
        for (imported, wanted), line in module.late.items():
            if imported not in modules:
                before = set(modules)
                collect(imported, sources, modules)
                to_do += [modules[name] for name in modules if name not in before]
            check_defined(module, line, modules[imported], wanted)
    late = [module for name, module in modules.items() if name not in early]
    for module in late:
        if "'''" in module.body:
            module.refuse(1, "three single quotes would end the text that it becomes")
    return late


def check_names(modules, imports):
    """All sources share one namespace in the script."""
    owners = {name or module.split(".")[0]: "an import" for module, name in imports}
    owners.update(LATE_PARTS="the builder", load_late="the builder")
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


def build(script, sources):
    """The text of a script."""
    by_name = {}
    collect(f"handouts.{script}.main", sources, by_name)
    late = collect_late(sources, by_name)
    modules = [*by_name.values(), *late]
    imports = {one for module in modules for one in module.imports}
    imports = {(module, name) for module, name in imports if not module.startswith("handouts.")}
    check_names(modules, imports)
    *others, main = [module for module in by_name.values() if module.file != PARTS]
    doc, main.doc = "\n".join(main.doc), []
    text = HEAD.format(doc=doc, imports="\n".join(merged(imports)), script=script)
    end = text.count("\n") + len(others) + len(late) + (2 if late else 0) + 3  # of the table
    table, sections = put_together([*others, *late, main], set(late), end)
    return f"{text}{table})\n{sections}"


def put_together(modules, late, end):
    """The rows of the table, and what comes after the table's end at that line."""
    table, sections, is_late, before = "", "", False, 0
    for module in modules:
        if (module in late) != is_late:
            is_late = not is_late
            table += f'    ({end + sections.count(chr(10)) + 1}, "the builder", 1),\n'
            sections += LATE if is_late else LOAD_LATE.format(before=before)
            before = end + sections.count("\n") - 1
        comment = "\n".join(module.doc).strip('"\n').splitlines()
        banner = [f"--- {module.file} ".ljust(90, "-"), *([""] if comment else []), *comment]
        sections += "\n\n{}\n\n".format("".join(f"# {row}".rstrip() + "\n" for row in banner))
        line = end + sections.count("\n")
        table += f'    ({line}, "{module.file}", {module.first_line}),\n'
        sections += module.body
    return table, sections


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
