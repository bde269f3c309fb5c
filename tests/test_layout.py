"""The layout's rules, read from the code itself."""

import ast
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, pythons, run

pytestmark = pytest.mark.once
OURS = ("telerun_site", "accounts", "jobs")


def imports(path: Path) -> set[str]:
    """Every module that the file imports, wherever in it; "a.b" for `from a import b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(package: str) -> list[Path]:
    return [p for p in (ROOT / package).rglob("*.py") if "migrations" not in p.parts]


def uses(path: Path, *prefixes: str) -> set[str]:
    return {name for name in imports(path) if name.startswith(prefixes)}


@pytest.mark.parametrize("script", ["submit.py", "executor.py"])
def test_the_scripts_import_the_standard_library_alone(script: str) -> None:
    names = {name.partition(".")[0] for name in imports(ROOT / script)}
    assert names - set(sys.stdlib_module_names) == set()


def test_accounts_never_imports_jobs() -> None:
    assert {p: uses(p, "jobs") for p in modules("accounts") if uses(p, "jobs")} == {}


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("jobs/states.py", ("jobs.",)),
        ("jobs/models.py", ("jobs.operations", "jobs.waiting", "jobs.views", "jobs.audit")),
        ("jobs/operations.py", ("jobs.views", "jobs.serializers", "jobs.admin")),
        ("jobs/waiting.py", ("jobs.",)),
        ("accounts/models.py", ("accounts.operations", "accounts.admin")),
    ],
)
def test_imports_point_one_way(lower: str, higher: tuple[str, ...]) -> None:
    assert uses(ROOT / lower, *higher) == set()


def test_operations_is_the_only_writer_of_states() -> None:
    """Nobody else creates, updates, saves or deletes a Job or an Attempt."""
    writers = {"create", "update", "save", "delete", "bulk_create", "bulk_update", "get_or_create"}
    for path in modules("jobs"):
        if path.name in ("operations.py", "audit.py"):
            continue
        called = {
            node.func.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            # `.update` of a dict is told apart by what it is called on being `objects…`
            and "objects" in ast.unparse(node.func.value)
        }
        assert called & writers == set(), path
        statements = uses(path, "telerun_site.statements")
        assert statements <= {f"telerun_site.statements.{n}" for n in ("Parameter", "Select")}, path


def test_the_environment_is_read_in_the_settings_alone() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in OURS
        for path in modules(package)
        if "os.environ" in path.read_text().replace("os.environ.setdefault", "")
    }
    # backup.py hands it on to pg_dump; memory.py sets what glibc reads before Python runs.
    assert readers - {"jobs/backup.py", "telerun_site/memory.py"} == {"telerun_site/settings.py"}


def test_nobody_asks_which_database_it_is() -> None:
    askers = {
        path.relative_to(ROOT).as_posix()
        for package in OURS
        for path in modules(package)
        if any(word in path.read_text().lower() for word in ("connection.vendor", "import sqlite3"))
    }
    # docs/adr/0006, 0007
    assert askers == {"jobs/waiting.py", "jobs/backup.py", "telerun_site/sqlite/base.py"}


@pytest.mark.processes
def test_queue_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "queue" / "__init__.py").exists()
    assert not (ROOT / "queue" / "queue.py").exists()
    for python in pythons():
        told = run([python, "-c", "import queue; print(queue.Queue.__module__)"], cwd=ROOT)
        assert told.out.strip() == "queue", told.err


@pytest.mark.parametrize("module", ["main", "auth", "db", "certificate"])
def test_the_entry_points_are_thin(module: str) -> None:
    code = ast.parse((ROOT / f"queue/submission_queue/{module}.py").read_text())
    assert len(code.body) <= 3


def test_the_two_scripts_talk_to_the_queue_with_the_same_code() -> None:
    """It stands in both on purpose: each is handed out alone."""
    parts = []
    for script in ("submit.py", "executor.py"):
        _, _, rest = (ROOT / script).read_text().partition("# --- Talking to the queue")
        part, _, _ = rest.partition("\n# --- ")
        assert "def is_retryable" in part
        parts.append(part)
    assert parts[0] == parts[1]


@pytest.mark.processes
def test_the_migrations_are_up_to_date() -> None:
    done = run([sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"], cwd=ROOT)
    assert done.status == 0, done.out


@pytest.mark.processes
def test_the_deployment_check_is_clean() -> None:
    done = run([sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"], cwd=ROOT)
    assert done.status == 0, done.err
