"""The admin site with hostile content, odd questions and many rows."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Executor, User
from foundation.text import printable
from jobs import audit, claiming, reporting, submitting
from jobs.audit import Entry
from jobs.models import AuditEntry, Job
from jobs.staff import requeue
from jobs.submitting import Submission
from tests.support.admin import (
    AUDIT,
    EXECUTORS,
    JOBS,
    USERS,
    found,
    page,
    run,
    submit,
    words_of,
)

pytestmark = pytest.mark.django_db


# --- Hostile content ---------------------------------------------------------------------

HOSTILE = "</pre><script>alert(1)</script>&lt;\"'\x1b[2J\x1b]0;title\x07\u202egnp.exe\x85\r\n\t"


def test_hostile_text_is_shown_harmlessly(ta: Client, alice: User, gpu1: Executor) -> None:
    args = ["<script>alert(2)</script>", "\u202e\x1b[2J"]
    job, _ = submitting.submit(alice, Submission(HOSTILE, "<script>alert(3)</script>", args))
    run(
        gpu1,
        compile_log=HOSTILE.encode() + b"\0\xff\xfe",
        execute_log=b"\xed\xa0\x80\xc0\xaf\0<img src=x onerror=alert(4)>",
        details={"<script>": "\u202e\x1b\ud800</script>".encode("utf-8", "replace").decode()},
    )
    requeue(job.pk, "ta")
    attempt = claiming.claim(gpu1)
    reporting.release(gpu1, attempt.pk, attempt.lease_token, HOSTILE)
    urls = [JOBS, f"{JOBS}{job.pk}/change/", AUDIT, "/admin/"]
    urls += [f"{AUDIT}{entry.pk}/change/" for entry in AuditEntry.objects.all()]
    for url in urls:
        text = page(ta, url)
        for danger in ("<script>alert", "<img src=x", "\x1b", "\u202e", "\0", "\x07", "\x85"):
            assert danger not in text, (url, danger)
    text = page(ta, f"{JOBS}{job.pk}/change/")
    assert r"\x1b[2J" in text
    assert r"\x00\xff\xfe" in text
    assert r"\xed\xa0\x80\xc0\xaf\x00&lt;img" in text


@pytest.mark.hardening
def test_a_mebibyte_of_each(ta: Client, alice: User, gpu1: Executor) -> None:
    source = "x" * (1024 * 1024)
    job = submit(alice, source)
    run(gpu1, compile_log=b"\0" * (1024 * 1024), execute_log=b"\xff" * (1024 * 1024))
    text = words_of(page(ta, f"{JOBS}{job.pk}/change/"))
    assert source in text
    assert "\\x00" * (1024 * 1024) in text
    assert printable(b"\xff" * (1024 * 1024)) in text


# --- Searching and many rows -------------------------------------------------------------

ODD = (
    "99999999999999999999", "-1", "1e999", "\0", "a\0b", "%", "_", "'", '"', "' OR 1=1 --", "\\",
    "😀", "\u0661", "x" * 3000, "a " * 1500, "<script>alert(1)</script>", "\x1b", '"\\',
)  # fmt: skip


@pytest.mark.parametrize("where", [JOBS, AUDIT, USERS, EXECUTORS])
def test_odd_searches(ta: Client, where: str, every_state: dict[str, Job]) -> None:
    for text in ODD:
        assert "<script>alert" not in page(ta, where, q=text)


@pytest.mark.django_db(transaction=True)  # as the server does: an error ends no transaction
@pytest.mark.parametrize("text", ["99999999999999999999", "\0", "x", "-1", "", "[1]", "\x1b"])
def test_odd_addresses(ta: Client, text: str, every_state: dict[str, Job]) -> None:
    filters = {
        JOBS: ("state__exact", "outcome__exact", "submitted_at__gte", "id", "user__id__exact"),
        AUDIT: ("job_id", "action", "timestamp__gte", "request__name"),
        USERS: ("is_staff__exact", "id"),
        EXECUTORS: ("enabled__exact", "about__x"),
    }
    for where, names in filters.items():
        for name in (*names, "p", "o", "nonsense", "_facets", "all"):
            answer = ta.get(where, {name: text}, follow=True)
            assert answer.status_code in (200, 400), (where, name)
        for view in ("change", "delete", "history"):
            answer = ta.get(f"{where}{text or '%20'}/{view}/".replace("\0", "%00"), follow=True)
            assert answer.status_code in (200, 400, 403, 404), (where, view)


def test_search_and_filters_find_what_is_asked_for(
    ta: Client, alice: User, bob: User, gpu1: Executor, gpu2: Executor
) -> None:
    first = submit(alice, name="matmul.cu").pk
    run(gpu1, outcome="runtime_error")
    second = submit(bob, name="scan.cu").pk
    run(gpu2)
    third = submit(bob, name="scan.cu").pk
    for number in (first, f"#{first}", f"job {first}", f"Job #{first} alice"):
        assert found(ta, JOBS, q=str(number)) == {first}
    assert found(ta, JOBS, q="alice") == {first}
    assert found(ta, JOBS, q="MATMUL") == {first}
    assert found(ta, JOBS, q="gpu2") == {second}
    assert found(ta, JOBS, q="bob gpu2") == {second}
    assert found(ta, JOBS, q="nobody") == set()
    assert found(ta, JOBS, state__exact="queued") == {third}
    assert found(ta, JOBS, outcome__exact="runtime_error") == {first}
    assert found(ta, JOBS, submitted_at__gte=timezone.now() + timedelta(days=1)) == set()
    entries = {entry.pk for entry in AuditEntry.objects.filter(job_id=second)}
    assert found(ta, AUDIT, q=str(second)) == entries
    assert found(ta, AUDIT, q=f"job {second}") == entries
    assert found(ta, AUDIT, action="claimed") == set(
        AuditEntry.objects.filter(action="claimed").values_list("pk", flat=True)
    )
    assert found(ta, USERS, q="ali") == {alice.pk}
    assert found(ta, EXECUTORS, q="gpu2") == {gpu2.pk}


def test_of_a_job_that_was_deleted_the_search_leads_to_its_entries(
    ta: Client, alice: User, gpu1: Executor
) -> None:
    job = submit(alice).pk
    run(gpu1)
    there = submit(alice).pk
    Job.objects.filter(pk=job).delete()
    words = f"Job {job} was deleted."
    text = page(ta, JOBS, q=f"job {job}")
    assert words in text
    assert f'<a href="{AUDIT}?job_id={job}">' in text
    tomorrow = timezone.now() + timedelta(days=1)
    assert "was deleted" not in page(ta, JOBS, q=str(there), submitted_at__gte=tomorrow)
    assert "was deleted" not in page(ta, JOBS, q="4711")


def test_a_users_page_leads_to_the_users_jobs(ta: Client, alice: User, bob: User) -> None:
    job, _ = submit(alice).pk, submit(bob)
    where = f"{JOBS}?user__id__exact={alice.pk}"
    assert f'<a href="{where}">Jobs of alice</a>' in page(ta, f"{USERS}{alice.pk}/change/")
    assert found(ta, JOBS, user__id__exact=alice.pk) == {job}


def test_names_are_readable_in_what_an_entry_says(ta: Client) -> None:
    audit.record(Entry("ta", "user-changed", request={"name": "李小龍 \u202egnp"}))
    text = page(ta, f"{AUDIT}{AuditEntry.objects.latest('pk').pk}/change/")
    assert "李小龍 \\u202egnp" in text


def queries(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        page(client, url)
    return [query["sql"] for query in captured]


@pytest.mark.parametrize("where", ["/admin/", JOBS, AUDIT, USERS, EXECUTORS])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    ta: Client, where: str, make_user: Callable[[str], User], gpu1: Executor
) -> None:
    def more(start: int) -> None:
        for n in range(start, start + 10):
            executor = Executor.objects.create(name=f"host{n}")
            submit(make_user(f"student{n}"))
            run(executor)
            submit(User.objects.get(username=f"student{n}"))
            claiming.claim(executor)

    more(0)
    few = queries(ta, where)
    more(10)
    assert len(queries(ta, where)) == len(few)


@pytest.mark.parametrize("where", ["/admin/", JOBS, AUDIT])
def test_lists_read_no_source_and_no_log(ta: Client, where: str, every_state: Any) -> None:
    for sql in queries(ta, where):
        columns = sql.partition(" FROM ")[0]
        assert not re.search(r'"(source|compile_log|execute_log)"', columns), sql
        assert not re.search(r'"request"(,| AS|$)(?! \'\$)', columns), sql


@pytest.mark.once  # how SQLite goes about it
def test_the_front_page_goes_through_no_table_of_jobs(ta: Client, every_state: Any) -> None:
    for sql in queries(ta, "/admin/"):
        if '"jobs_' in sql and '"jobs_kept"' not in sql:  # that has a row a user, no more
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = [row[3] for row in cursor.fetchall()]
            keys = ("INDEX", "PRIMARY KEY")
            assert all(any(key in step for key in keys) for step in plan), (sql, plan)


def test_a_page_of_the_list_is_a_hundred_rows(ta: Client, alice: User) -> None:
    now = timezone.now()
    row = {"user": alice, "source": "", "submitted_at": now, "turn": 0, "attempts_left": 3}
    Job.objects.bulk_create(Job(filename=f"{n}.cu", **row) for n in range(350))
    assert len(found(ta, JOBS)) == 100
    assert len(found(ta, JOBS, p=4)) == 50
    assert "350 jobs" in page(ta, JOBS)
