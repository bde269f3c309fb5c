"""Each change of a setting is on record: which field, what it was, what it is."""

import ast
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.db import models
from django.test import Client
from django.utils import timezone

from accounts.management.commands import telerun_auth
from accounts.management.commands.telerun_auth import COMMANDS
from accounts.models import Executor, Platform, User
from accounts.public_address import PublicAddress
from accounts.recorded import Recorded
from jobs.models import AuditEntry
from tests.support.admin import EXECUTORS, USERS, act, browser
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db


def other(field: models.Field, value: Any) -> Any:
    """Another value that the field takes."""
    if isinstance(field, models.BooleanField):
        return not value
    if isinstance(field, models.EmailField):
        return "new@example.org"
    return {True: "gpu-renamed", False: f"new-{field.name}"}[field.max_length < 150]


def form_of(client: Client, url: str) -> dict[str, Any]:
    """What a browser would send of the page, unchanged."""
    context = client.get(url).context
    forms = [context["adminform"].form]
    for formset in context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    sent = {}
    for form in forms:
        for name in form.fields:
            value = form[name].value()
            if value not in (None, False):
                sent[form.add_prefix(name)] = "on" if value is True else value
    return sent


# These have pages or actions of their own; staff status goes with the role.
ELSEWHERE = {
    (User, "password"), (User, "is_staff"), (User, "is_superuser"), (Executor, "enabled"),
}  # fmt: skip
EDITED = [
    (row, field)
    for row in (User, Executor, Platform)
    for field in row.settings()
    if (row, field) not in ELSEWHERE
]


@pytest.fixture
def rows(alice: User, gpu1: Executor) -> dict[type, tuple[Any, str, str]]:
    """Each with its page, and how its form calls a field."""
    platform = Platform.objects.create(
        executor=gpu1, reported="h100", slots=1, offered_at=timezone.now()
    )
    on_host = f"{EXECUTORS}{gpu1.pk}/change/"
    return {
        User: (alice, f"{USERS}{alice.pk}/change/", "{}"),
        Executor: (gpu1, on_host, "{}"),
        Platform: (platform, on_host, "platforms-0-{}"),
    }


@pytest.mark.parametrize(("model", "name"), EDITED)
def test_each_field_of_a_form_is_recorded(
    model: type, name: str, ta: Client, rows: dict[type, tuple[Any, str, str]]
) -> None:
    row, url, called = rows[model]
    sent = form_of(ta, url)
    assert called.format(name) in {*sent, *ta.get(url).context["adminform"].form.fields} or (
        model is Platform
    ), "the form has no such field"
    old = getattr(row, name)
    new = other(model._meta.get_field(name), old)
    sent.pop(called.format(name), None)
    answer = ta.post(
        url, sent if new is False else {**sent, called.format(name): "on" if new is True else new}
    )
    assert answer.status_code == 302, answer.context["errors"]
    row.refresh_from_db()
    assert getattr(row, name) == new
    entry = AuditEntry.objects.get(action__endswith="-changed")
    field = row.called(name)
    assert (entry.username, entry.address) == ("ta", "127.0.0.1")
    assert (entry.request["before"][field], entry.request["after"][field]) == (old, new)
    assert entry.request["name"] == row.account()[1]


def test_a_rename_says_both_names(ta: Client, alice: User) -> None:
    url = f"{USERS}{alice.pk}/change/"
    ta.post(url, {**form_of(ta, url), "username": "alicia"})
    entry = AuditEntry.objects.get(action="user-changed")
    assert entry.request["name"] == "alicia"
    assert entry.request["before"] == {"username": "alice"}
    assert entry.request["after"] == {"username": "alicia"}


def test_what_is_saved_unchanged_is_no_entry(ta: Client, rows: Any) -> None:
    for _, url, _ in rows.values():
        assert ta.post(url, form_of(ta, url)).status_code == 302
    assert not AuditEntry.objects.filter(action__endswith="-changed").exists()


def test_out_of_service_is_one_entry_with_before_and_after(ta: Client, gpu1: Executor) -> None:
    act(ta, EXECUTORS, "disable", gpu1.pk)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.username) == ("executor-disabled", "ta")
    assert entry.request == {
        "name": "gpu1", "before": {"enabled": True}, "after": {"enabled": False}
    }  # fmt: skip


# What commands change, as far as it is in these tables.
TABLES = (User, Executor, Platform)


def values() -> list[Any]:
    hidden = ("last_seen_at",)
    return [
        {k: v for k, v in row.items() if k not in hidden}
        for model in TABLES
        for row in model.objects.order_by("pk").values()
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_command_changes_a_row_without_an_entry(
    command: str, alice: User, gpu1: Executor, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = PublicAddress("queue.example:4443", None)
    monkeypatch.setattr(telerun_auth, "public_address", lambda _: address)
    names = {"user": "alice", "code": "alice", "executor": "gpu1"}
    name = "new" if command.startswith("create") else names.get(command.split("-")[1], "alice")
    if command == "enable-executor":
        Executor.objects.update(enabled=False)
    before = values()
    more = ["--yes"] if command == "purge-user" else []
    call_command("telerun_auth", command, *([name] if COMMANDS[command][2] else []), *more)
    if values() != before:
        assert AuditEntry.objects.filter(username="command").exists()


def test_djangos_own_command_for_passwords_is_recorded(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.management.commands import changepassword

    asked = lambda *_args, **_kwargs: "correct horse battery"  # noqa: E731
    monkeypatch.setattr(changepassword.Command, "_get_pass", asked)
    call_command("changepassword", "alice")
    entry = AuditEntry.objects.get(action="user-changed")
    assert (entry.username, list(entry.request["after"])) == ("command", ["password"])
    assert "horse" not in str(entry.request)


def test_every_model_that_staff_can_change_is_recorded() -> None:
    """One that is added later is found here."""
    request = type("Request", (), {"user": type("All", (), {"has_perm": lambda *_: True})()})()
    for model, page in admin.site._registry.items():
        if page.has_change_permission(request):
            assert issubclass(model, Recorded), model
        for inline in page.inlines:
            if inline(model, admin.site).has_change_permission(request):
                assert issubclass(inline.model, Recorded), inline


SETTINGS = {name for model in TABLES for name in model.settings()}
WRITERS = {"update", "bulk_update", "bulk_create", "update_or_create", "get_or_create"}
# What executors report, and what a purge takes away, is no setting of somebody's.
MAY = {
    "accounts/platforms.py", "accounts/executors.py", "accounts/purging.py", "accounts/roles.py",
}  # fmt: skip


def test_nobody_changes_such_a_row_past_its_save() -> None:
    names = {model.__name__ for model in TABLES}
    for package in ("accounts", "courses", "jobs", "pages", "telerun_site"):
        for path in (ROOT / package).rglob("*.py"):
            where = path.relative_to(ROOT).as_posix()
            if "migrations" not in path.parts and where not in MAY:
                assert not _writes(path, names), where


def _writes(path: Path, names: set[str]) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = ast.unparse(node.func.value)
            named = [keyword.arg for keyword in node.keywords]
            is_setting = not named or None in named or bool(SETTINGS & set(named))
            if node.func.attr in WRITERS and any(f"{n}.objects" in of for n in names):
                found += [of] if is_setting else []
    return found


assert browser
