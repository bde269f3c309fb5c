"""The admin's pages at any length of its tables: none reads a whole one, whatever is filtered,
sorted or searched.

Lists, columns and filters are found from the admin's own classes: a new column that is sorted by
what no index serves fails here. What a statement does is read from the database's own plan.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bench.course.copying import copy_up_to, execute, number_from
from bench.course.course import Course, fill
from foundation import lists
from foundation.admin import TelerunModelAdmin
from foundation.database import time_limit
from jobs.admin import finding
from jobs.admin.jobs import JobAdmin
from jobs.models import AuditEntry, Job
from jobs.states import State
from tests.support.admin import AUDIT, JOBS, browser, found, page, staff, told

LONG = "jobs_job|jobs_attempt|jobs_auditentry|jobs_outputfile|jobs_outputpart"
ENDS = datetime(2026, 11, 29, 22, 39, tzinfo=timezone.utc)
TABLES = [m for m, its in admin.site._registry.items() if isinstance(its, TelerunModelAdmin)]
# What there is to search for: found in many jobs, in few, in none.
WORDS = ("1", "hello", "ada1", "x", "nobody", "ada1 hello", "ta-mira", "executor:ada1")


@pytest.fixture
def course(db: None) -> None:
    """Two thousand jobs: enough that a planner cares."""
    number_from(3000)
    fill(Course(students=12, weeks=1, kernels=1, ends_at=ENDS))
    copy_up_to(2000, timedelta(weeks=1))
    if connection.vendor == "postgresql":  # which does so by itself; SQLite never does here
        execute("ANALYZE")


def address_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def queries_of(changelist: Any) -> Iterator[str]:
    """Each that the list's page offers, or that somebody may type: orders, filters, words."""
    yield "?"
    yield "?p=2"
    for place in range(len(changelist.list_display)):
        yield f"?o={place}"
        yield f"?o=-{place}"
    chosen = [_choices(spec, changelist) for spec in changelist.filter_specs]
    for some in chosen:
        yield from some
    for number, some in enumerate(chosen):  # and two at once: the last one of each
        for others in chosen[number + 1 :]:
            yield from (f"{one}&{other[1:]}" for one in some[-2:] for other in others[-2:])
    for word in WORDS if changelist.search_fields else ():
        yield f"?q={word}"
        yield from (f"?q={word}&{one[1:]}" for some in chosen for one in some[-1:])


def _choices(spec: Any, changelist: Any) -> list[str]:
    return [one["query_string"] for one in spec.choices(changelist) if "query_string" in one][1:]


@pytest.mark.hardening
def test_no_list_reads_a_whole_table(course: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "NEWEST", 100)  # or all of this small table is asked for
    ta = browser(staff("walker"))
    plans: dict[str, str] = {}
    for model in TABLES:
        where = address_of(model)
        changelist = ta.get(where).context["cl"]
        for query in queries_of(changelist):
            _look(ta, where + query, plans)
        last = model._default_manager.order_by("pk").last()
        if last is not None:
            _look(ta, f"{where}{last.pk}/change/", plans)
            _look(ta, f"{where}{last.pk}/history/", plans)
    _look(ta, reverse("admin:index"), plans)
    assert len(plans) > 20


def _look(ta: Client, url: str, plans: dict[str, str]) -> None:
    """Opens the page; each kind of statement is explained once."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = ta.get(url, follow=True)
    assert answer.status_code == 200, url
    assert len(captured) < 150, (url, len(captured))  # forty looks for each end of a time
    for query in captured:
        sql = query["sql"]
        if "$1" in sql:  # a kept statement, whose values are not in it: test_query_plans.py
            continue
        kind = re.sub(r"'[^']*'|\b\d+\b", "?", sql)
        kind = re.sub(r"\(\?(, \?)+\)", "(?)", kind)
        if sql.startswith("SELECT") and re.search(LONG, sql) and kind not in plans:
            plans[kind] = _plan(sql)
            assert not faults(sql, plans[kind]), (url, sql[:3000], plans[kind])


def _plan(sql: str) -> str:
    explain = "EXPLAIN (COSTS OFF) " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # it reads or sorts all of a small table, rightly
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(explain + sql.replace("%", "%%"), [])
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def faults(sql: str, plan: str) -> list[str]:
    """Where it reads or sorts more than it shows. A statement that most rows fit may walk along a
    table as far as its LIMIT; what is sorted may be rows whose keys are given, or attempts that are
    open and entries about accounts, which are few."""
    # Entries about accounts, and open attempts: few, as PostgreSQL knows of a large table.
    if '"job_id" IS NULL' in sql or '"ended_at" IS NULL' in sql:
        return []
    has_condition = " WHERE " in sql
    most = not has_condition or "\"ending\" = 'finished'" in sql  # of the rows on its way
    walks = most and " LIMIT " in sql
    if not (has_condition or walks):
        return ["it reads all of a table"]
    has_keys = re.search(r'"id" IN \(\d|"id" = \d', sql) is not None
    find = _postgresql_faults if connection.vendor == "postgresql" else _sqlite_faults
    if walks and not re.search(r"b-tree|\bsort\b", plan.lower()):
        return []
    return find(plan, has_keys)


def _sqlite_faults(plan: str, has_keys: bool) -> list[str]:
    partial = ("attempt_lease", "bulk_action_open")  # these hold few rows
    wrong = [
        line
        for line in plan.splitlines()
        if re.match(rf"SCAN ({LONG}|U\d)\b", line) and not any(name in line for name in partial)
    ]
    if not has_keys:
        wrong += [line for line in plan.splitlines() if "TEMP B-TREE FOR ORDER" in line]
    return wrong


def _postgresql_faults(plan: str, has_keys: bool) -> list[str]:
    wrong = re.findall(rf".*Seq Scan on (?:{LONG}).*", plan)
    for scan in re.findall(rf"Index[^\n]* on (?:{LONG})[^\n]*(?:\n +\w[^\n]*:[^\n]*)*", plan):
        if "Filter:" in scan and "Index Cond:" not in scan and "attempt_lease" not in scan:
            wrong.append(scan)
    if not has_keys:
        wrong += re.findall(r"Sort Key:.*", plan)
    return wrong


def test_the_test_sees_what_reads_a_whole_table(course: None) -> None:
    slow = (
        Job.objects.filter(filename__contains="x").values("pk"),
        Job.objects.order_by("started_at").values("pk")[:100],
        Job.objects.filter(submitted_at__gte=ENDS).values("pk").order_by(),
        AuditEntry.objects.filter(request__name="x").values("pk"),
        AuditEntry.objects.values("action").order_by("action").distinct(),
    )
    for rows in slow:
        with CaptureQueriesContext(connection) as captured:
            list(rows)
        sql = captured[0]["sql"]
        assert faults(sql, _plan(sql)), (sql, _plan(sql))


# --- What is found ---


@pytest.fixture
def ta(db: None) -> Client:
    return browser(staff("walker"))


def test_a_long_list_is_not_counted_to_its_end(
    course: None, ta: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST_SHOWN", 300)
    text = page(ta, JOBS)
    assert "more than 300 jobs" in text
    assert "?p=3" in text
    assert "?p=4" not in text
    assert len(found(ta, JOBS, p=3)) == 100
    few = page(ta, JOBS, state__exact="running")
    assert "more than" not in few


def test_a_search_finds_the_newest_and_says_if_there_are_more(
    course: None, ta: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = Job.objects.latest("id").filename
    all_of_it = set(Job.objects.filter(filename=name).values_list("pk", flat=True))
    newest = set(sorted(all_of_it)[-100:])
    assert found(ta, JOBS, q=name.upper()) == newest
    assert not told(ta.get(JOBS, {"q": name}))
    monkeypatch.setattr(finding, "NEWEST", 120)
    answer = ta.get(JOBS, {"q": name})
    assert {job.pk for job in answer.context["cl"].result_list} == newest
    assert "only the newest" in told(answer)[0]


def test_words_are_looked_for_together_and_with_filters(course: None, ta: Client) -> None:
    finished = Job.objects.filter(state=State.FINISHED).select_related("user")
    job = finished.filter(attempts__executor_name="ada1").latest("id")
    words = f"{job.user.username} {job.filename[:4]} ada1"
    assert job.pk in found(ta, JOBS, q=words)
    assert job.pk in found(ta, JOBS, q=words, state__exact="finished")
    assert job.pk in found(ta, JOBS, q=words, outcome__exact=job.outcome, state__exact="finished")
    assert job.pk not in found(ta, JOBS, q=words, state__exact="queued")
    assert found(ta, JOBS, q=f"{words} nobody") == set()
    assert found(ta, JOBS, q=str(job.pk)) >= {job.pk}
    older = (job.submitted_at - timedelta(days=400)).isoformat()
    assert found(ta, JOBS, q=words, submitted_at__lt=older) == set()


def test_state_and_outcome_go_together(course: None, ta: Client) -> None:
    for outcome in ("succeeded", "compile_error"):
        both = found(ta, JOBS, outcome__exact=outcome, state__exact="finished")
        assert both == found(ta, JOBS, outcome__exact=outcome)
        assert both
        assert found(ta, JOBS, outcome__exact=outcome, state__exact="failed") == set()


def test_a_time_finds_the_rows_of_that_time(course: None, ta: Client) -> None:
    times = sorted(Job.objects.values_list("submitted_at", flat=True))
    since, until = times[-60], times[-10]
    wanted = Job.objects.filter(submitted_at__gte=since, submitted_at__lt=until)
    asked = {"submitted_at__gte": since.isoformat(), "submitted_at__lt": until.isoformat()}
    assert found(ta, JOBS, **asked) == set(wanted.values_list("pk", flat=True))
    for none in (
        {"submitted_at__gte": "2999-01-01T00:00Z"},
        {"submitted_at__lt": "1970-01-01T00:00Z"},
    ):
        assert found(ta, JOBS, **none) == set()
    answer = ta.get(JOBS, {"submitted_at__gte": "no time"})
    assert answer.status_code == 302


def test_a_clock_that_was_set_back_hides_nothing(course: None, ta: Client) -> None:
    last, before = Job.objects.order_by("-id")[:2]
    moment = before.submitted_at - timedelta(minutes=50)
    Job.objects.filter(pk=last.pk).update(submitted_at=moment)
    since = (moment - timedelta(minutes=5)).isoformat()
    until = (moment + timedelta(minutes=5)).isoformat()
    assert last.pk in found(ta, JOBS, submitted_at__gte=since, submitted_at__lt=until)


def test_the_first_row_of_a_time(course: None) -> None:
    moments = list(Job.objects.order_by("id").values_list("pk", "submitted_at"))
    for key, moment in moments[5::400]:
        first = lists.first_since(Job, "submitted_at", moment)
        assert Job.objects.filter(pk__lt=first, submitted_at__gte=moment).count() < 60
        assert first <= key
    assert lists.first_since(Job, "submitted_at", ENDS + timedelta(days=1)) == moments[-1][0] + 1


def test_an_order_that_no_index_serves_is_left_alone(course: None, ta: Client) -> None:
    as_it_is = found(ta, JOBS)
    columns = ta.get(JOBS).context["cl"].list_display
    place = columns.index("waited")
    assert found(ta, JOBS, o=str(place)) == as_it_is
    assert found(ta, JOBS, o=str(columns.index("id"))) != as_it_is
    assert found(ta, JOBS, o="x.99.-") == as_it_is


# --- The safety net ---


def test_what_takes_too_long_is_stopped(db: None) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT SUM(i) FROM n"
    if connection.vendor == "postgresql":
        endless = "SELECT pg_sleep(60)"
    from django.db import transaction

    with (
        pytest.raises(time_limit.TakesTooLong),
        transaction.atomic(),
        time_limit.at_most(0.2),
        connection.cursor() as cursor,
    ):
        cursor.execute(endless)
    assert Job.objects.count() == 0  # the connection is as before
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)


def test_staff_are_told_to_narrow_it(ta: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> Any:
        raise time_limit.TakesTooLong

    monkeypatch.setattr(JobAdmin, "get_search_results", slow)
    answer = ta.get(JOBS, {"q": "x"})
    assert answer.status_code == 503
    assert b"Narrow it" in answer.content
    assert page(ta, AUDIT)
