"""The house's rule, read from the code: arrows only point down.

A package may know the packages below it, by whatever name: an import, a table in SQL, a look-up of
the ORM, the name of an address, a model, a permission, a template's link. What it must know of a
package above registers itself there (foundation/hooks.py).
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

# From the cellar to the roof.
PACKAGES = ("foundation", "accounts", "courses", "jobs", "pages", "telerun_site")
# The same inside jobs: the first that a module's name begins with; a job's life is the rest.
JOBS_ROOMS = (
    ("jobs.states", 0),
    ("jobs.audit", 1),
    ("jobs.api", 3),
    ("jobs.admin", 3),
    ("jobs.management", 3),
    ("jobs.apps", 4),
    ("jobs", 2),
)
# What else the repository holds is above the roof: no package may know it.
BESIDES = ("tests", "bench", "handouts", "examples", "manage", "submission_queue")
REVERSES = ("reverse", "reverse_lazy", "redirect", "resolve_url")
TAKE_ADDRESSES = ("viewname", "pattern_name")  # as keywords, or names that are set
TAKE_LOOKUPS = (
    "F", "Count", "Sum", "Min", "Max", "Avg", "Prefetch", "Exists", "OuterRef", "order_by",
    "values", "values_list", "only", "defer", "select_related", "prefetch_related", "distinct",
)  # fmt: skip
FOREIGN_KEYS = ("ForeignKey", "OneToOneField", "ManyToManyField")


class Arrow(NamedTuple):
    """A module names something of another."""

    source: str  # "accounts.models"
    target: str  # "jobs.models", or only "jobs"
    how: str

    def __str__(self) -> str:
        return f"{self.source} names {self.target} ({self.how})"


class Names(NamedTuple):
    """What the house calls by name, and the module or package that has it."""

    urls: dict[str, str]
    models: dict[str, str]
    commands: dict[str, str]
    paths: dict[str, str]  # the beginning of an address's path: "/api/v1/jobs"
    tags: dict[str, str]  # libraries of template tags


def faults(root: Path) -> list[str]:
    """Every chain of arrows that leads up, and foreign keys that could be followed backwards."""
    names = names_of(root)
    arrows = [arrow for path in (*modules(root), *migrations(root))
              for arrow in arrows_of(root, path, names)]  # fmt: skip
    arrows += [arrow for path in templates(root) for arrow in arrows_of_template(root, path, names)]
    found = [str(arrow) for arrow in arrows if height(arrow.target) > height(arrow.source)]
    found += [str(arrow) for arrow in arrows if _leads_up_in_jobs(arrow)]
    found += [" → ".join(chain) for chain in chains_up(arrows)]
    return sorted({*found, *followed_backwards(root)})


def names_of(root: Path) -> Names:
    """All names of the house."""
    commands = {path.stem: owner for owner, path in _below(root, "management/commands/[a-z]*.py")}
    commands |= {f"submission_queue.{name.removeprefix('telerun_')}": owner
                 for name, owner in commands.items()}  # fmt: skip
    tags = {path.stem: owner for owner, path in _below(root, "templatetags/[a-z]*.py")}
    return Names(url_names(root), model_names(root), commands, url_paths(root), tags)


def _below(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob(pattern)):
            yield package, path


@functools.cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def modules(root: Path) -> Iterator[Path]:
    for _, path in _below(root, "*.py"):
        if "migrations" not in path.parts:
            yield path


def migrations(root: Path) -> Iterator[Path]:
    for _, path in _below(root, "migrations/*.py"):
        yield path


def templates(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("templates/**/*.html"))


def name_of(root: Path, path: Path) -> str:
    """ "accounts.models" for accounts/models.py."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def height(name: str) -> int:
    """The package's place from below; -1 for what is not the repository's."""
    package = name.partition(".")[0]
    if package in BESIDES:
        return len(PACKAGES)
    return PACKAGES.index(package) if package in PACKAGES else -1


def _leads_up_in_jobs(arrow: Arrow) -> bool:
    both = (arrow.source, arrow.target)
    if not all(name.startswith("jobs.") for name in both):
        return False
    source, target = (_room(name) for name in both)
    return target > source


def _room(name: str) -> int:
    return next(place for prefix, place in JOBS_ROOMS if f"{name}.".startswith(f"{prefix}."))


# --- What a module names -----------------------------------------------------------------


def arrows_of(root: Path, path: Path, names: Names) -> Iterator[Arrow]:
    """Imports, wherever in the file, and what its strings and look-ups name."""
    source, tree = name_of(root, path), _parsed(path.read_text())
    package = source if path.name == "__init__.py" else source.rpartition(".")[0]
    for target in imports(tree, package):
        if height(target) >= 0:
            yield Arrow(source, _module(root, target), "import")
    yield from _arrows_in_strings(root, source, tree, names)
    for called in _reversed_names(tree):
        if owner := names.urls.get(called):
            yield Arrow(source, owner, f"address {called!r}")
    for lookup in _lookups(tree):
        for owner in _owners_of_lookup(lookup, names):
            yield _if_above(source, owner, f"look-up {lookup}")


def _if_above(source: str, owner: str, how: str) -> Arrow:
    """A model's name is also an ordinary word: of one's own package, or below, it is no arrow."""
    return Arrow(source, owner if height(owner) > height(source) else source, how)


def _owners_of_lookup(lookup: str, names: Names) -> list[str]:
    parts = lookup.lstrip("-").split("__")
    return [names.models[part] for part in parts if part in names.models]


def _arrows_in_strings(root: Path, source: str, tree: ast.AST, names: Names) -> Iterator[Arrow]:
    above = PACKAGES[height(source) + 1 :]
    for text in _strings(tree):
        if re.fullmatch(r"[a-z_]+(\.[a-z_]\w*)+", text) and height(text) >= 0:
            yield Arrow(source, _module(root, text), f"module {text!r}")
        for package in above:
            if re.search(rf"\b{package}_[a-z]\w*", text, re.IGNORECASE):
                yield Arrow(source, package, f"table, address or name in {text[:60]!r}")
            elif text == package or re.fullmatch(rf"{package}\.[\w.]+", text):
                yield Arrow(source, package, f"model, permission or module {text!r}")
        for command, owner in names.commands.items():
            if re.search(rf"(?<![\w.]){re.escape(command)}\b", text):
                yield _if_above(source, owner, f"command {command}")
        for path, owner in names.paths.items():
            if re.match(rf"{path}(/|$|\?)", text):
                yield _if_above(source, owner, f"path {path}")


def arrows_of_template(root: Path, path: Path, names: Names) -> Iterator[Arrow]:
    source, text = name_of(root, path), path.read_text()
    for package in PACKAGES[height(source) + 1 :]:
        if re.search(rf"\b(admin:{package}_|perms\.{package}\b)", text):
            yield Arrow(source, package, "link or permission in a template")
        if re.search(rf"{{%\s*(include|extends)\s+['\"]{package}/", text):
            yield Arrow(source, package, "another template")
    for name in re.findall(r"{%\s*url\s+['\"]([\w:-]+)['\"]", text):
        yield _if_above(source, names.urls.get(name, source), f"address {name!r}")
    for loaded in re.findall(r"{%\s*load\s+([\w ]+)", text):
        for library in loaded.split():
            yield _if_above(source, names.tags.get(library, source), f"tags {library}")
    for model in re.findall(r"\b([a-z]+)_set\b", text):
        yield _if_above(source, names.models.get(model, source), f"look-up {model}_set")


@functools.cache
def imports(tree: ast.AST, package: str = "") -> set[str]:
    """ "a.b" for `import a.b` and for `from a import b`; relative ones from `package`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            whole = ".".join(
                [*(parts if node.level else ()), *([node.module] if node.module else ())]
            )
            found |= {f"{whole}.{alias.name}" for alias in node.names}
    return found


def _module(root: Path, name: str) -> str:
    """The module of "a.b.c", where c may be one or stand in a.b."""
    path = root.joinpath(*name.split("."))
    is_module = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return name if is_module else name.rpartition(".")[0]


@functools.cache
def _strings(tree: ast.AST) -> list[str]:
    """All of them but docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    plain = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings
    ]
    return plain + [_joined(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]


def _joined(node: ast.JoinedStr) -> str:
    """An f-string, with a word where a value stands."""
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "x" for v in node.values)


@functools.cache
def _reversed_names(tree: ast.AST) -> list[Any]:
    """What is given to `reverse` and the like."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [k.value for node in calls for k in node.keywords if k.arg in TAKE_ADDRESSES]
    calls = [node for node in calls if ast.unparse(node.func).rpartition(".")[2] in REVERSES]
    given += [a for node in calls for a in node.args[:1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in TAKE_ADDRESSES:
            given.append(node.value)
    return [node.value for node in given if isinstance(node, ast.Constant)]


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


@functools.cache
def _lookups(tree: ast.AST) -> list[str]:
    """Names as the ORM takes them: with `__`, in its own calls also without; and `job_set`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and "__" in (node.arg or "").strip("_"):
            found.append(node.arg or "")
        elif isinstance(node, ast.Attribute) and node.attr.endswith("_set"):
            found.append(node.attr.removesuffix("_set"))
        elif isinstance(node, ast.Call) and _called(node) in TAKE_LOOKUPS:
            found += [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
    return found + [text for text in _strings(tree) if re.fullmatch(r"-?[a-z_]+(__[a-z_]+)+", text)]


def url_names(root: Path) -> dict[str, str]:
    """The names of addresses, and the modules that give them."""
    found = {}
    for _, path in _below(root, "urls.py"):
        for name in re.findall(r"name=\"([\w-]+)\"", path.read_text()):
            found[name] = name_of(root, path)
    return found


def url_paths(root: Path) -> dict[str, str]:
    """How the paths of addresses begin, and the packages that give them."""
    found = {}
    for package, path in _below(root, "urls.py"):
        prefix = "/api/v1/" if "api" in path.parts else "/"
        for first in re.findall(r"path\(\s*\"([\w-]+)", path.read_text()):
            if first != "api":
                found[prefix + first] = package
    return found


def model_names(root: Path) -> dict[str, str]:
    """The names by which the ORM would follow a model's foreign key backwards."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("models.py")):
            for node in _parsed(path.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    found[node.name.lower()] = package
    return found


# --- Chains, and foreign keys ------------------------------------------------------------


def chains_up(arrows: list[Arrow]) -> Iterator[list[str]]:
    """The shortest chain of several arrows from each module to one of a higher package."""
    targets: dict[str, set[str]] = {}
    for arrow in arrows:
        targets.setdefault(arrow.source, set()).add(arrow.target)
    for source in targets:
        chains, seen = [[source]], {source}
        for chain in chains:
            for target in sorted(targets.get(chain[-1], set()) - seen):
                seen.add(target)
                chains.append([*chain, target])
                if height(target) > height(source) and len(chain) > 1:
                    yield chains[-1]


def followed_backwards(root: Path) -> Iterator[str]:
    """Foreign keys that cross packages without `related_name="+"`."""
    for path in modules(root):
        package = name_of(root, path).partition(".")[0]
        text = path.read_text()
        if not any(name in text for name in FOREIGN_KEYS):
            continue
        for node in ast.walk(_parsed(text)):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).rpartition(".")[2] in FOREIGN_KEYS
            ):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                target = ast.unparse(node.args[0]) if node.args else keywords.get("to", "")
                if (
                    _crosses(target, package, _parsed(text))
                    and keywords.get("related_name") != "'+'"
                ):
                    yield f"{name_of(root, path)} has a foreign key to {target} without '+'"


def _crosses(target: str, package: str, tree: ast.AST) -> bool:
    """Whether a foreign key's target is another package's: by a setting, a string, or a class."""
    if "AUTH_USER_MODEL" in target:
        return True
    if target[:1] in "'\"":
        return "." in target and target.strip("'\"").partition(".")[0] != package
    name = target.partition(".")[0]
    owners = {i.partition(".")[0] for i in imports(tree) if i.rpartition(".")[2] == name}
    return any(owner != package for owner in owners)
