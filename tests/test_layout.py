"""The layout's rules, read from the code itself."""

import ast
import re
import shutil
import sys
from pathlib import Path

import pytest

from telerun_site.server import LOSABLE, QUICK
from tests.support.layout import PACKAGES, faults, imports
from tests.support.processes import ROOT, pythons, run
from tests.support.scripts import load

pytestmark = pytest.mark.once
OURS = PACKAGES


def modules(package: str) -> list[Path]:
    return [p for p in (ROOT / package).rglob("*.py") if "migrations" not in p.parts]


def imports_of(path: Path) -> set[str]:
    return imports(ast.parse(path.read_text()))


@pytest.mark.parametrize("script", ["submit.py", "executor.py"])
def test_the_scripts_import_the_standard_library_alone(script: str) -> None:
    names = {name.partition(".")[0] for name in imports_of(ROOT / script)}
    assert names - set(sys.stdlib_module_names) == set()


def test_arrows_only_point_down() -> None:
    assert faults(ROOT) == []


ARROWS_UP = {
    "an import": ("foundation/text.py", "import accounts.tokens\n"),
    "an import in a function": ("accounts/tokens.py", "def f():\n    from jobs import states\n"),
    "an import in a room of jobs": ("jobs/claiming.py", "from jobs.api.v1 import answers\n"),
    "a table": ("foundation/bell.py", 'SQL = "SELECT id FROM jobs_auditentry"\n'),
    "the name of an address": ("accounts/forms.py", 'NAME = "admin:jobs_job_changelist"\n'),
    "an address of the API": ("accounts/api/views.py", 'reverse("job-file", args=[1, "a"])\n'),
    "a model's name": ("accounts/forms.py", 'get_model("jobs.Job")\n'),
    "an app and a model": ("courses/limits.py", 'MODEL = ("jobs", "Job")\n'),
    "a permission": ("accounts/permissions.py", 'MAY = "jobs.change_job"\n'),
    "a look-up": ("accounts/operations.py", "User.objects.filter(job__state=1)\n"),
    "a look-up in a string": ("accounts/operations.py", 'User.objects.order_by("job__id")\n'),
    "a setting of the roof": ("jobs/outputs.py", 'WHERE = "telerun_site.settings"\n'),
    "a relative import": ("jobs/states.py", "from .admin import jobs\n"),
    "a relative import of a room": ("jobs/models.py", "from .api.v1 import answers\n"),
    "a relative import of a parent": ("jobs/audit/entries.py", "from ..api.v1 import answers\n"),
    "an import of the tests": ("foundation/text.py", "import tests.support.api\n"),
    "a migration": ("accounts/migrations/0003_gpus.py", "from jobs import states\n"),
    "a module by name": ("jobs/states.py", 'import_module("jobs.admin.jobs")\n'),
    "an address of a room": ("jobs/claiming.py", 'reverse("job-file")\n'),
    "an address by keyword": ("accounts/forms.py", 'reverse(viewname="job")\n'),
    "an address of a view": ("accounts/forms.py", 'pattern_name = "job"\n'),
    "an address in an f-string": ("accounts/forms.py", 'f"admin:jobs_{action}"\n'),
    "a table in an f-string": ("foundation/bell.py", 'f"SELECT id FROM jobs_{name}"\n'),
    "SQL in capitals": ("foundation/bell.py", 'SQL = "SELECT ID FROM JOBS_JOB"\n'),
    "a path": ("accounts/forms.py", 'PATH = "/api/v1/jobs/1"\n'),
    "an address of a page": ("jobs/claiming.py", 'reverse("page-job")\n'),
    "a path of a page": ("jobs/outputs.py", 'PATH = "/logout"\n'),
    "an address of the pages' API": ("jobs/api/v1/users.py", 'PATH = "/api/v1/page-links"\n'),
    "a path of the roof": ("jobs/outputs.py", 'PATH = "/healthz"\n'),
    "a command": ("accounts/operations.py", 'call_command("telerun_db", "check")\n'),
    "a command in words": ("foundation/text.py", 'SAY = "Say submission_queue.db init-db."\n'),
    "a second hop": ("accounts/operations.py", "Gpu.objects.filter(user__job__state=1)\n"),
    "a descending look-up": ("accounts/operations.py", 'User.objects.order_by("-job__id")\n'),
    "a look-up with a long name": ("accounts/forms.py", 'FIELD = "job__submitted_at"\n'),
    "a count": ("accounts/operations.py", 'User.objects.annotate(n=Count("job"))\n'),
    "the other end of a key": ("accounts/operations.py", "def f(u):\n    return u.job_set\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, to be spoilt."""
    copy = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        if (ROOT / package).exists():
            shutil.copytree(ROOT / package, copy / package)
    return copy


@pytest.mark.parametrize("arrow", ARROWS_UP)
def test_an_arrow_up_is_found(house: Path, arrow: str) -> None:
    where, text = ARROWS_UP[arrow]
    path = house / where
    before = path.read_text()
    path.write_text(before + "\n" + text)
    try:
        found = faults(house)
    finally:
        path.write_text(before)
    assert found
    assert any(where.removesuffix(".py").replace("/", ".") in fault for fault in found)
    assert faults(house) == []


def test_an_arrow_up_is_found_by_way_of_others(house: Path) -> None:
    """accounts → foundation → jobs: each chain is named, from where it starts."""
    path = house / "foundation/hooks.py"
    before = path.read_text()
    path.write_text("import jobs.states\n" + before)
    found = faults(house)
    path.write_text(before)
    assert "accounts.operations → foundation.hooks → jobs.states" in found


@pytest.mark.parametrize(
    "text",
    [
        "{% url 'admin:accounts_user_changelist' %}",
        "{% url 'job' %}",
        "{% include 'jobs/row.html' %}",
        "{{ user.job_set.count }}",
        "{% if perms.jobs.change_job %}{% endif %}",
    ],
)
def test_an_arrow_up_in_a_template_is_found(house: Path, text: str) -> None:
    path = house / "foundation/templates/admin/telerun_change_form.html"
    before = path.read_text()
    path.write_text(before + text)
    found = faults(house)
    path.write_text(before)
    assert any("foundation.templates.admin.telerun_change_form names" in fault for fault in found)


def test_a_foreign_key_that_could_be_followed_backwards_is_found(house: Path) -> None:
    path = house / "jobs/models.py"
    before = path.read_text()
    path.write_text(before.replace('related_name="+"', 'related_name="jobs"', 1))
    found = faults(house)
    path.write_text(before)
    assert found == ["jobs.models has a foreign key to settings.AUTH_USER_MODEL without '+'"]


@pytest.mark.parametrize(
    "key",
    [
        'models.ForeignKey("accounts.User", on_delete=models.CASCADE)',
        'ForeignKey(to="accounts.User", on_delete=models.CASCADE)',
        "models.OneToOneField(Executor, on_delete=models.CASCADE)",
    ],
)
def test_every_form_of_a_foreign_key_is_found(house: Path, key: str) -> None:
    path = house / "jobs/models.py"
    before = path.read_text()
    path.write_text(f"{before}\nfrom accounts.models import Executor\nKEY = {key}\n")
    found = faults(house)
    path.write_text(before)
    assert any("without '+'" in fault for fault in found)


def test_the_quick_addresses_are_addresses() -> None:
    """They stand a second time in telerun_site/server.py: which of them run on the hub."""
    from django.urls import Resolver404, resolve

    examples = {r"\d+": "1", ".*": "a.txt"}
    found = 0
    for pattern in (QUICK.pattern, LOSABLE.pattern):
        for method, path in expanded(pattern, examples):
            try:
                view = resolve(path).func.view_class
            except Resolver404:
                raise AssertionError(f"{path} is no address") from None
            assert hasattr(view, method.lower()) or method == "HEAD", (method, path)
            found += 1
    assert found == 22


def expanded(pattern: str, examples: dict[str, str]) -> list[tuple[str, str]]:
    """Every method and path that a pattern of alternatives and groups stands for."""
    for expression, example in examples.items():
        pattern = pattern.replace(expression, example)
    whole, waiting = [], [pattern]
    while waiting:
        text = waiting.pop()
        if group := re.search(r"\(([^()]*)\)(\??)", text):
            choices = [*group[1].split("|"), *([""] if group[2] else [])]
            waiting += [text[: group.start()] + c + text[group.end() :] for c in choices]
        elif "|" in text:
            waiting += text.split("|")
        else:
            whole.append(text.replace("\\", ""))
    return [tuple(text.split(" ")) for text in sorted(set(whole))]


TRANSITIONS = ("transitions", "submitting", "claiming", "reporting", "cancelling", "staff",
               "leases", "retention", "quota")  # fmt: skip


def test_the_transition_modules_are_the_only_writers_of_states() -> None:
    """Nobody else creates, updates, saves or deletes a Job or an Attempt."""
    writers = {"create", "update", "save", "delete", "bulk_create", "bulk_update", "get_or_create"}
    for path in modules("jobs"):
        if (path.parent == ROOT / "jobs" and path.stem in TRANSITIONS) or "audit" in path.parts:
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
        kept = "foundation.database.statements"
        statements = {name for name in imports_of(path) if name.startswith(kept)}
        assert statements <= {f"{kept}.Parameter", f"{kept}.Select"}, path


def test_only_transitions_moves_a_job_along_the_table() -> None:
    for path in modules("jobs"):
        if path != ROOT / "jobs/transitions.py":
            assert "states.after(" not in path.read_text(), path


def test_the_environment_is_read_in_the_settings_alone() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in OURS
        for path in modules(package)
        if "os.environ" in path.read_text().replace("os.environ.setdefault", "")
    }
    others = {"foundation/database/backup.py"}  # it hands it on to pg_dump
    assert readers - others == {"telerun_site/settings.py"}


def test_nobody_asks_which_database_it_is() -> None:
    askers = {
        path.relative_to(ROOT).as_posix()
        for package in OURS
        for path in modules(package)
        if any(word in path.read_text().lower() for word in ("connection.vendor", "import sqlite3"))
    }
    # docs/adr/0006, 0007, 0023, 0034, 0036
    assert askers == {
        "foundation/database/backup.py",
        "foundation/database/sqlite/base.py",
        "foundation/database/sqlite/scratch.py",
        "foundation/database/sqlite/thread_files.py",
        "foundation/database/sqlite/wiping.py",
        "foundation/database/connections.py",
        "foundation/serving/feeds.py",
        "jobs/changes.py",
    }


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
    """Each is handed out alone, so it is in both."""
    submit, executor = ({part[1] for part in load(name).PARTS} for name in ("submit", "executor"))
    shared = {path.relative_to(ROOT).as_posix() for path in (ROOT / "handouts/client").glob("*.py")}
    assert submit & executor == shared - {"handouts/client/parts.py"}


@pytest.mark.processes
def test_the_migrations_are_up_to_date() -> None:
    done = run([sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"], cwd=ROOT)
    assert done.status == 0, done.out


@pytest.mark.processes
def test_the_deployment_check_is_clean() -> None:
    done = run([sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"], cwd=ROOT)
    assert done.status == 0, done.err
