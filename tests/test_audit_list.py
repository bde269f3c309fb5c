"""The audit log's list in the admin: its form, and what it exports."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Executor, User
from jobs import audit
from jobs.admin.audit_filter import EntryForm
from jobs.audit import Entry
from jobs.audit.actions import ACTIONS
from jobs.models import AuditEntry
from tests.support.admin import AUDIT, browser, found, page, run, staff, submit
from tests.support.processes import ROOT

pytestmark = pytest.mark.django_db
EXPORT = f"{AUDIT}export/"


@pytest.fixture
def entries(alice: User, bob: User, gpu1: Executor) -> list[AuditEntry]:
    submit(alice)
    run(gpu1)
    submit(bob)
    with transaction.atomic():
        audit.record(
            Entry("ta", "logged-in", None, {"name": "ta", "to": "admin"}, "198.51.100.7"),
            Entry("ta", "token-issued", None, {"name": "alice"}),
        )
    old = timezone.now() - timedelta(days=30)
    AuditEntry.objects.filter(username="alice").update(timestamp=old)
    return list(AuditEntry.objects.order_by("id"))


def those(entries: list[AuditEntry], **about: Any) -> set[int]:
    return {e.pk for e in entries if all(getattr(e, k) == v for k, v in about.items())}


def test_each_field_of_the_form(ta: Client, entries: list[AuditEntry]) -> None:
    everything = {entry.pk for entry in entries}
    job = entries[0].job_id
    assert found(ta, AUDIT) == everything
    assert found(ta, AUDIT, action="submitted") == those(entries, action="submitted")
    assert found(ta, AUDIT, who="alice") == those(entries, username="alice")
    assert found(ta, AUDIT, job_id=job) == those(entries, job_id=job)
    assert found(ta, AUDIT, address="198.51.100.7") == those(entries, address="198.51.100.7")
    assert found(ta, AUDIT, about="alice") == those(entries, action="token-issued")
    assert found(ta, AUDIT, who="alice", action="logged-in") == set()
    assert found(ta, AUDIT, who="ALICE") == set()


def test_a_range_of_time(ta: Client, entries: list[AuditEntry]) -> None:
    old = those(entries, username="alice")
    new = {entry.pk for entry in entries} - old
    week = timezone.localtime() - timedelta(days=7)
    moment = f"{week:%Y-%m-%dT%H:%M}"
    assert found(ta, AUDIT, since=moment) == new
    assert found(ta, AUDIT, until=moment) == old
    first = timezone.localtime(AuditEntry.objects.get(pk=min(old)).timestamp)
    minute = f"{first:%Y-%m-%dT%H:%M}"
    assert found(ta, AUDIT, since=minute, until=minute) == old  # that minute too


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("since", "yesterday"), ("since", "2026-02-30T10:00"), ("until", "0001-01-01T00:00"),
        ("since", "9999-12-31T23:59"), ("job_id", "x"), ("job_id", "-1"), ("job_id", "9" * 30),
        ("who", "a\0b"), ("action", "x" * 100), ("action", "a\0b"), ("address", "x" * 100),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_said_and_shows_nothing(
    name: str, typed: str, ta: Client, entries: list[AuditEntry]
) -> None:
    answer = ta.get(AUDIT, {name: typed})
    assert answer.status_code == 200
    assert not answer.context["cl"].result_list
    assert "errorlist" in answer.content.decode()
    answer = ta.post(EXPORT, {"format": "csv"}, query_params={name: typed})
    assert answer.status_code == 302
    assert not AuditEntry.objects.filter(action="audit-exported").exists()


def test_from_after_until_is_said(ta: Client, entries: list[AuditEntry]) -> None:
    text = page(ta, AUDIT, since="2026-02-01T10:00", until="2026-01-01T10:00")
    assert "is after that in" in text


def exported(client: Client, kind: str, **query: Any) -> str:
    answer = client.post(EXPORT, {"format": kind}, query_params=query)
    assert answer.status_code == 200, answer.get("Location")
    assert answer["Content-Disposition"].startswith("attachment")
    return b"".join(answer.streaming_content).decode()


def test_an_export_is_what_the_form_shows(
    ta: Client, entries: list[AuditEntry], audit_log: Any
) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(ta, "csv", who="alice"))))
    assert {int(row["id"]) for row in rows} == those(entries, username="alice")
    assert "source" not in json.loads(rows[0]["request"])
    lines = [json.loads(line) for line in exported(ta, "jsonl", who="alice").splitlines()]
    assert {line["id"] for line in lines} == those(entries, username="alice")
    assert lines[0]["request"]["source"] == "int main() {}\n"
    ids = [json.loads(line)["id"] for line in exported(ta, "jsonl", q="bob", p="1").splitlines()]
    assert set(ids) == those(entries, username="bob")
    assert ta.post(f"{EXPORT}?colour=red", {"format": "csv"}).status_code == 302
    done = AuditEntry.objects.filter(action="audit-exported").order_by("id")
    assert [entry.username for entry in done] == ["ta"] * 3
    assert done[0].request == {"format": "csv", "filter": {"who": "alice"}}


def test_all_pages_are_exported_in_parts(ta: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        audit.record(*(Entry("someone", "tested", None, {"n": n}) for n in range(250)))
    rows = list(csv.DictReader(io.StringIO(exported(ta, "csv", who="someone"))))
    assert [int(row["id"]) for row in rows] == list(range(250, 0, -1))


def test_what_is_searched_for_can_be_recorded(ta: Client) -> None:
    """PostgreSQL refuses a NUL."""
    exported(ta, "csv", q="so\0meone")
    told = AuditEntry.objects.get(action="audit-exported").request
    assert told["filter"] == {"search": "someone"}


def test_nor_one_that_parts_cells_at_semicolons(ta: Client) -> None:
    """As a spreadsheet does where a comma is in numbers."""
    told = {"filename": 'a;=HYPERLINK("http://x");b.cu', ";+1": ";@SUM(1)"}
    with transaction.atomic():
        audit.record(Entry("alice", "tested", 1, told))
    text = exported(ta, "csv", who="alice")
    cells = [cell for row in csv.reader(io.StringIO(text), delimiter=";") for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert json.loads(next(csv.DictReader(io.StringIO(text)))["request"]) == told


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "\uff1d1", '=HYPERLINK("http://x")'],
)
def test_no_spreadsheet_computes_a_cell(name: str, ta: Client) -> None:
    with transaction.atomic():
        audit.record(Entry(name, "tested", None, {"name": name}))
    row = next(csv.DictReader(io.StringIO(exported(ta, "csv"), newline="")))
    row = next(
        r for r in csv.DictReader(io.StringIO(exported(ta, "csv"), newline=""))
        if r["action"] == "tested"
    )  # fmt: skip
    assert row["username"] == f"'{name}"


def test_who_may_not_export_is_refused_and_sees_no_button(entries: list[AuditEntry]) -> None:
    from django.contrib.auth.models import Permission

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    client = browser(viewer)
    assert "JSON Lines" not in page(client, AUDIT)
    assert "JSON Lines" in page(browser(staff("boss")), AUDIT)
    assert client.post(EXPORT, {"format": "csv"}).status_code == 403
    assert not AuditEntry.objects.filter(action="audit-exported").exists()


def test_an_export_is_asked_for_by_a_form_alone(ta: Client, entries: list[AuditEntry]) -> None:
    assert ta.get(EXPORT).status_code == 405
    assert ta.post(EXPORT, {"format": "xlsx"}).status_code == 302


def test_the_forms_actions_are_those_that_the_code_records() -> None:
    """The code's own strings: an action that is added is added to the list."""
    import re

    said = set()
    for package in ("accounts", "jobs", "pages", "telerun_site"):
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            text = path.read_text()
            said |= set(re.findall(r'action="([a-z][a-z-]+)"', text))
            said |= set(re.findall(r'Entry\([\w.()]+, "([a-z][a-z-]+)"', text))
            said |= set(re.findall(r'_record(?:_of_user)?\((?:request, )?"([a-z][a-z-]+)"', text))
    assert said - set(ACTIONS) == set()
    assert len(said) > 8


def test_the_list_asks_for_no_distinct_and_reads_no_source(
    ta: Client, entries: list[AuditEntry], django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(20) as queries:
        page(ta, AUDIT)
    assert not [q["sql"] for q in queries.captured_queries if "DISTINCT" in q["sql"]]


def test_the_form_is_empty_without_a_query() -> None:
    form = EntryForm({})
    assert form.is_valid()
    assert str(form.entries()) == "(AND: )"
