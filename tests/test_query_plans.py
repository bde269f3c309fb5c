"""The hot statements use their indexes, on a table large enough that a planner cares."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts import authentication, login_codes
from accounts.models import Executor, User
from foundation.database import connections
from foundation.database.statements import Parameter, Select
from jobs import claiming, models, reporting, submitting, transitions
from jobs.api.v1 import answers, events, express, users
from jobs.live import pieces, taking, watching
from jobs.models import Attempt, AuditEntry, Job, OutputFile, OutputPart

FINISHED, QUEUED, PER_USER = 3600, 400, 4


@pytest.fixture
def full(db: None, gpu1: Executor) -> None:
    """Thousands of finished jobs, hundreds of queued ones, of many users."""
    now = timezone.now()
    total = FINISHED + QUEUED
    users = User.objects.bulk_create(
        User(username=f"u{n}", token_digest=f"{n:064}") for n in range(total // PER_USER)
    )
    over = {"state": "finished", "outcome": "succeeded", "finished_at": now}
    jobs = Job.objects.bulk_create(
        Job(
            user=users[n % len(users)],
            source="x" * 200,
            submitted_at=now,
            turn=n,
            attempts_left=2,
            idempotency_key=f"key{n}",
            **(over if n < FINISHED else {}),
        )
        for n in range(total)
    )
    attempts = Attempt.objects.bulk_create(
        Attempt(
            job=job,
            number=1,
            executor=gpu1,
            executor_name="gpu1",
            claim_key=f"claim{n}",
            lease_token="x",
            started_at=now,
            lease_expires_at=now + timedelta(seconds=n),
            **({"ended_at": now, "ending": "expired"} if n % 10 else {}),
        )
        for n, job in enumerate(jobs)
    )
    files = OutputFile.objects.bulk_create(
        OutputFile(attempt=attempt, name="a", size=2, digest="x") for attempt in attempts
    )
    OutputPart.objects.bulk_create(
        OutputPart(file=file, number=number, content=b"x") for file in files for number in (0, 1)
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(id=n, timestamp=now, username="u", action="tested", job_id=n)
        for n in range(1, total)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def jobs_of_a_user() -> QuerySet[Job]:
    return Job.objects.filter(user=User.objects.earliest("id")).order_by("-id")


def a_place_in_the_queue() -> QuerySet[Job]:
    return Job.objects.ahead_of(Job.objects.queued()[30]).order_by()  # only counted


def open_attempt_of_a_claim() -> QuerySet[Attempt]:
    executor = Executor.objects.get()
    return Attempt.objects.open().filter(executor=executor, claim_key="claim10")


# what it is for, the statement, the index that answers it ("job_": any of those on jobs, of which
# PostgreSQL takes one or another by what it estimates)
HOT: list[tuple[str, Callable[[], QuerySet], str]] = [
    ("the next job", lambda: Job.objects.queued()[:1], "job_platform_queue"),
    ("a place in the queue", a_place_in_the_queue, "job_"),
    ("a user's queued jobs", lambda: jobs_of_a_user().filter(state="queued"), "job_"),
    ("a user's jobs, newest first", lambda: jobs_of_a_user()[:50], "job_"),
    ("how often a user submits", lambda: jobs_of_a_user()[29:30], "job_"),
    (
        "a submission again",
        lambda: jobs_of_a_user().filter(idempotency_key="key0"),
        "one_job_a_key",
    ),
    ("a claim again", open_attempt_of_a_claim, "one_attempt_a_claim"),
    ("leases that ran out", lambda: Attempt.objects.expired(timezone.now()), "attempt_lease"),
    ("a job's attempts", lambda: Attempt.objects.filter(job_id=50), "one_attempt_a_number"),
    ("a job's open attempt", lambda: Attempt.objects.open().filter(job_id=50), "one_"),
    ("an attempt's files", lambda: OutputFile.objects.filter(attempt_id=50), "one_file_a_name"),
    (
        "a part of a file",
        lambda: OutputPart.objects.filter(file_id=50, number=1),
        "one_part_a_number",
    ),
    ("a bearer", lambda: User.objects.filter(token_digest=f"{7:064}"), "token_digest"),
    ("staff's list by state", lambda: Job.objects.filter(state="failed")[:100], "job_"),
    ("new audit entries", lambda: AuditEntry.objects.filter(id__gt=3990), "audit"),
]


def test_hot_statements_use_their_indexes(full: None) -> None:
    for what, statement, index in HOT:
        plan = statement().explain().lower()
        assert index in plan or "using integer primary key" in plan, (what, plan)
        assert not scans(plan), (what, plan)


VALUES = {
    "attempt": 50,
    "asked_at": timezone.now(),
    "digest": f"{7:064}",
    "executor": 1,
    "id": 3700,
    "job": 50,
    "key": "key0",
    "platform": "cuda",
    **{f"language{place}": name for place, name in enumerate(("cuda", "cpp", "python"))},
    "plain0": True,
    "plain1": False,
    "turn": 3700,
    "user": 7,
    **{f"owner{place}": 7 + place for place in range(claiming.BATCH)},
}


STATEMENTS = (
    authentication, answers, claiming, events, express, login_codes, models, reporting, submitting,
    taking, transitions, users,
)  # fmt: skip


def test_every_kept_statement_uses_an_index(full: None) -> None:
    kept = {
        f"{module.__name__}.{name}": statement
        for module in STATEMENTS
        for name, statement in vars(module).items()
        if isinstance(statement, Select)
    }
    assert len(kept) > 10
    if connection.vendor == "postgresql":  # it reads a table of one row whole, and is right to
        connection.cursor().execute("SET LOCAL enable_seqscan = off")
    for name, statement in kept.items():
        sql, parameters, *_ = statement._compiled
        explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
        given = [p.value(VALUES, connection) if isinstance(p, Parameter) else p for p in parameters]
        with connection.cursor() as cursor:
            cursor.execute(explain + sql, given)
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall()).lower()
        assert "using integer primary key" in plan or "index" in plan, (name, plan)
        assert not scans(plan), (name, plan)
        if statement is not claiming._FREE_USER:  # which sorts the few rows of a batch
            assert not re.search(r"temp b-tree|\bsort\b|hash|anti join", plan), (name, plan)


def scans(plan: str) -> list[str]:
    """Where the plan reads a whole table."""
    lines = [line for line in plan.splitlines() if "seq scan" in line or "scan jobs" in line]
    # SQLite says "SCAN table USING INDEX" for reading an index in order.
    return [line for line in lines if "using index" not in line]


def test_the_next_job_is_read_off_its_index_without_sorting(full: None) -> None:
    plan = Job.objects.queued()[:1].explain().lower()
    assert "temp b-tree" not in plan
    assert "sort" not in plan


LIVE = {
    pieces.APPEND: (7, 1, 50, 40, 40, 3, b"x", 40, 40, 7, 1, 50),
    pieces.READ: (7, 0, 10, 4, 7, 1, 10, 4),
    watching.PROCESSES: (7, 1.0),
}


def test_live_outputs_statements_use_the_key_of_their_table(db: None) -> None:
    rows = connections.scratch().rows
    for number in range(300):
        assert pieces.append(number, number, "execute", 0, b"x")
        rows(watching.NOTE, number, 1, 2.0)
    if connection.vendor == "postgresql":
        connection.cursor().execute("SET LOCAL enable_seqscan = off")
    for statement, values in LIVE.items():
        explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(row[-1]) for row in rows(explain + statement, *values)).lower()
        assert "primary key (" in plan or "_pkey" in plan, plan
        assert not re.search(r"temp b-tree|\bsort\b|seq scan|scan jobs", plan), plan
    rows("DELETE FROM jobs_livepiece")
    rows("DELETE FROM jobs_livewatch")
