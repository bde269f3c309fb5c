"""Row E, inside a process of the queue's: fills the tables and times `claiming.claim`.

`python -m bench.claim USERS QUEUED FINISHED ROUNDS CLAIMS` prints JSON, times in milliseconds.
Each claim is a transaction of its own that is rolled back, so that the queue stays as long.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import django
from django.db import connection, models, transaction

from bench.measure import median

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")
django.setup()

from accounts.models import Executor, User  # noqa: E402
from accounts.operations import create_user  # noqa: E402
from accounts.platforms import Service  # noqa: E402
from bench.load import Student  # noqa: E402
from jobs import claiming, reporting, submitting  # noqa: E402
from jobs.models import Attempt, Job  # noqa: E402
from tests.support.api import Api  # noqa: E402

# An executor that takes jobs for three platforms, of which the long queue is made in equal parts.
NAMES = {name: name for name in ("cuda", "h100", "cpu")}
SERVICE = Service(NAMES, frozenset({"cuda", "cpp"}))
COPIES = """INSERT INTO {table} ({columns})
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
SELECT {values} FROM numbers, {table} t WHERE t.id = {pk} ORDER BY i"""


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def copies(row: models.Model, count: int, **different: str) -> None:
    """Adds `count` copies of a row; `different` are columns as SQL of `i`, the copy's number.

    It needs no list of the columns, so a new one does not break it.
    """
    columns = [f.column for f in row._meta.concrete_fields if not f.primary_key]
    values = [different.get(column, f"t.{column}") for column in columns]
    parts = {"columns": ", ".join(columns), "values": ", ".join(values)}
    execute(COPIES.format(table=row._meta.db_table, count=count, pk=row.pk, **parts))


def submit(name: str) -> tuple[User, Job, str]:
    user, token = create_user(name, "bench")
    job, _ = submitting.submit(user, submitting.Submission(Student.SOURCE))
    return user, job, token


def fill(users: int, queued: int, finished: int) -> None:
    """A long history and a long queue, each user's turn another. The first users are real."""
    executor = Executor.objects.get()
    _, job, _ = submit("template")
    attempt = claiming.claim(executor)
    assert attempt
    assert attempt.job_id == job.pk
    result = reporting.Result("succeeded", execute_log=b"hello there\n" * 10)
    reporting.finish(executor, attempt.pk, attempt.lease_token, result)
    user = User.objects.get(username="template")
    turn = f"1000 + i % {users}"
    copies(user, users, username="'filler' || i", token_digest="NULL")
    first = User.objects.filter(username__startswith="filler").earliest("id").pk
    owner = f"{first - 1} + i % {users} + 1"
    job.refresh_from_db()
    copies(job, finished, user_id=owner, turn=turn)
    attempt.refresh_from_db()
    execute("ANALYZE")  # or PostgreSQL looks through all jobs for each attempt's foreign key
    histories(attempt)
    waiting = Job.objects.queued().first()
    assert waiting
    platform = "CASE i % 3 WHEN 0 THEN 'cuda' WHEN 1 THEN 'h100' ELSE 'cpu' END"
    copies(waiting, queued, user_id=owner, turn=turn, platform=platform)
    if connection.vendor == "postgresql":
        execute("VACUUM ANALYZE")  # what autovacuum would have done by then


def histories(attempt: Attempt) -> None:
    """An attempt for every finished job that has none."""
    columns = [f.column for f in Attempt._meta.concrete_fields if not f.primary_key]
    values = ["j.id" if column == "job_id" else f"t.{column}" for column in columns]
    execute(
        f"INSERT INTO jobs_attempt ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM jobs_job j, jobs_attempt t WHERE t.id = {attempt.pk} "
        f"AND j.state = 'finished' AND j.id <> {attempt.job_id}"
    )


def timed(count: int, function: Callable[[], Any]) -> float:
    """The median of many calls in milliseconds."""
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        function()
        samples.append(1000 * (time.perf_counter() - began))
    return median(samples)


def claim(executor: Executor) -> None:
    with transaction.atomic():
        assert claiming.claim(executor, "bench", service=SERVICE)
        transaction.set_rollback(True)


def times(rounds: int, count: int, api: Api, job: Job) -> dict[str, list[float]]:
    """A sample a round of: the next claim, one whose user has nothing else queued, a look."""
    executor = Executor.objects.get()
    lone = Job.objects.filter(user__username="lone").get()
    told: dict[str, list[float]] = {"claim": [], "alone": [], "look": []}
    for _ in range(rounds):
        told["claim"].append(timed(count, lambda: claim(executor)))
        Job.objects.filter(pk=lone.pk).update(turn=-1)  # next in turn for a moment
        told["alone"].append(timed(count, lambda: claim(executor)))
        Job.objects.filter(pk=lone.pk).update(turn=2000)
        answer = api.get(f"/jobs/{job.pk}")
        assert answer.json()["queue_position"], answer.content
        told["look"].append(timed(count, lambda: api.get(f"/jobs/{job.pk}")))
    return told


def main(users: int, queued: int, finished: int, rounds: int, count: int) -> None:
    for number in range(8):
        submit(f"early{number}")
    submit("lone")
    _, job, token = submit("looks")
    api = Api(token)
    short = times(rounds, count, api, job)
    began = time.perf_counter()
    fill_around(users, queued, finished, job)
    filled_in = time.perf_counter() - began
    long = times(rounds, count, api, job)
    print(json.dumps({"short": short, "long": long, "filled_in": filled_in}))


def fill_around(users: int, queued: int, finished: int, middle: Job) -> None:
    """Fills, with `middle` ending up in the middle of the queue and the ten gone from its head."""
    Job.objects.filter(user__username__startswith="early").update(turn=10**9)
    Job.objects.filter(user__username="lone").update(turn=10**9)
    Job.objects.filter(pk=middle.pk).update(turn=10**9)
    fill(users, queued, finished)
    Job.objects.filter(pk=middle.pk).update(turn=1000 + users // 2)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
