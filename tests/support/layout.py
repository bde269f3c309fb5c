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
REVERSES = ("reverse", "reverse_lazy", "redirect", "resolve_url")
FOREIGN_KEYS = ("ForeignKey", "OneToOneField", "ManyToManyField")


class Arrow(NamedTuple):
    """A module names something of another."""

    source: str  # "accounts.models"
    target: str  # "jobs.models", or only "jobs"
    how: str

    def __str__(self) -> str:
        return f"{self.source} names {self.target} ({self.how})"


class Names(NamedTuple):
    """What the house calls by name, and the package that has it."""

    urls: dict[str, str]
    models: dict[str, str]


def faults(root: Path) -> list[str]:
    """Every chain of arrows that leads up, and foreign keys that could be followed backwards."""
    names = Names(url_names(root), model_names(root))
    arrows = [arrow for path in modules(root) for arrow in arrows_of(root, path, names)]
    arrows += [arrow for path in templates(root) for arrow in arrows_of_template(root, path)]
    found = [str(arrow) for arrow in arrows if height(arrow.target) > height(arrow.source)]
    found += [str(arrow) for arrow in arrows if _leads_up_in_jobs(arrow)]
    found += [" → ".join(chain) for chain in chains_up(arrows)]
    return sorted({*found, *followed_backwards(root)})


@functools.cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def modules(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def templates(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("templates/**/*.html"))


def name_of(root: Path, path: Path) -> str:
    """ "accounts.models" for accounts/models.py."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def height(name: str) -> int:
    """The package's place from below; -1 for what is not the house's."""
    package = name.partition(".")[0]
    return PACKAGES.index(package) if package in PACKAGES else -1


def _leads_up_in_jobs(arrow: Arrow) -> bool:
    both = (arrow.source, arrow.target)
    if arrow.how != "import" or not all(name.split(".")[0] == "jobs" for name in both):
        return False
    source, target = (_room(name) for name in both)
    return target > source


def _room(name: str) -> int:
    return next(place for prefix, place in JOBS_ROOMS if f"{name}.".startswith(f"{prefix}."))


# --- What a module names -----------------------------------------------------------------


def arrows_of(root: Path, path: Path, names: Names) -> Iterator[Arrow]:
    """Imports, wherever in the file, and what its strings and look-ups name."""
    source, tree = name_of(root, path), _parsed(path.read_text())
    for target in imports(tree):
        if height(target) >= 0:
            yield Arrow(source, _module(root, target), "import")
    above = PACKAGES[height(source) + 1 :]
    yield from _arrows_in_strings(source, tree, above)
    for called in _reversed_names(tree):
        if (package := names.urls.get(called)) in above:
            yield Arrow(source, package, f"address {called!r}")
    for lookup in _lookups(tree):
        if (package := names.models.get(lookup.partition("__")[0])) in above:
            yield Arrow(source, package, f"look-up {lookup}")


def _arrows_in_strings(source: str, tree: ast.AST, above: tuple[str, ...]) -> Iterator[Arrow]:
    for text in _strings(tree):
        for package in above:
            if re.search(rf"\b{package}_[a-z]\w*", text):
                yield Arrow(source, package, f"table, address or name in {text[:60]!r}")
            elif text == package or re.fullmatch(rf"{package}\.[\w.]+", text):
                yield Arrow(source, package, f"model, permission or module {text!r}")


def arrows_of_template(root: Path, path: Path) -> Iterator[Arrow]:
    source = name_of(root, path)
    for package in PACKAGES[height(source) + 1 :]:
        if re.search(rf"\b(admin:{package}_|perms\.{package}\b)", path.read_text()):
            yield Arrow(source, package, "link or permission in a template")


@functools.cache
def imports(tree: ast.AST) -> set[str]:
    """ "a.b" for `import a.b` and for `from a import b`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
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
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings
    ]


@functools.cache
def _reversed_names(tree: ast.AST) -> list[Any]:
    """What is given to `reverse` and the like."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [node for node in calls if ast.unparse(node.func).rpartition(".")[2] in REVERSES]
    return [a.value for node in calls for a in node.args[:1] if isinstance(a, ast.Constant)]


@functools.cache
def _lookups(tree: ast.AST) -> list[str]:
    """Names with `__` in keywords and strings, as the ORM takes them."""
    keywords = [node.arg or "" for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    found = [name for name in keywords if "__" in name.strip("_")]
    return found + [text for text in _strings(tree) if re.fullmatch(r"-?[a-z]+(__[a-z]+)+", text)]


def url_names(root: Path) -> dict[str, str]:
    """The names of addresses."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("urls.py")):
            for name in re.findall(r"name=\"([\w-]+)\"", path.read_text()):
                found[name] = package
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
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in FOREIGN_KEYS and node.args:
                target = ast.unparse(node.args[0])
                crosses = "AUTH_USER_MODEL" in target or "." in target.strip("'")
                crosses = crosses and not target.strip("'").startswith(f"{package}.")
                related = {k.arg: ast.unparse(k.value) for k in node.keywords}.get("related_name")
                if crosses and related != "'+'":
                    yield f"{name_of(root, path)} has a foreign key to {target} without '+'"
