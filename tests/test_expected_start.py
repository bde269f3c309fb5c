"""When a job is expected to run, as the API says it, and what that costs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import platforms
from accounts.models import Executor, User
from jobs import outlook
from jobs.models import Attempt
from tests.support.api import Api
from tests.support.hosts import host, ran, silent

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def several(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = settings.TELERUN_SUBMITS_PER_MINUTE = 100


@pytest.fixture
def class_(make_user: Callable[[str], User]) -> Callable[[int], list[Api]]:
    def make(count: int) -> list[Api]:
        return [Api(make_user(f"student{n}").issue_token()) for n in range(count)]

    return make


def test_who_is_behind_waits_longer(
    class_: Callable[[int], list[Api]], bob: User, gpu1: Executor
) -> None:
    host(gpu1, nproc_compile=1)
    ran(bob, gpu1, 20, 1.0, 10.0)
    students = class_(8)
    jobs = [student.submit() for student in students]
    shown = [
        student.get(f"/jobs/{job['id']}").json()
        for student, job in zip(students, jobs, strict=True)
    ]
    assert [job["jobs_before"] for job in shown] == list(range(8))
    first = [job["expected_start"]["from_seconds"] for job in shown]
    last = [job["expected_start"]["to_seconds"] for job in shown]
    assert (first, last) == (sorted(first), sorted(last))
    assert first[7] < 70 < last[7]
    assert last[0] < 5


def test_without_recent_jobs_nothing_is_expected(
    as_alice: Api, as_bob: Api, bob: User, gpu1: Executor
) -> None:
    host(gpu1, {"cuda": 1, "cpu": 1})
    as_bob.submit()
    assert as_alice.submit()["expected_start"] is None
    ran(bob, gpu1, 5, 1.0, 5.0, "cpu")
    assert as_alice.submit()["expected_start"] is None
    ran(bob, gpu1, 5, 1.0, 5.0)
    Attempt.objects.update(ended_at=timezone.now() - timedelta(days=30))
    assert as_alice.submit()["expected_start"] is None


def test_a_compiled_job_has_a_place_and_a_time(
    as_alice: Api, as_bob: Api, make_user: Callable[[str], User], gpu1: Executor, as_gpu1: Api
) -> None:
    """Two jobs are before mine on the only GPU, and I am the next in the queue (S13)."""
    host(gpu1)
    carol = make_user("carol")
    ran(carol, gpu1, 10, 1.0, 10.0)
    as_bob.submit()
    runs = as_gpu1.claim()
    as_gpu1.beat(runs, "executing")
    second = as_bob.submit()
    compiled = as_gpu1.claim()
    as_gpu1.beat(compiled, "waiting")
    mine = as_alice.submit()
    assert (mine["queue_position"], mine["jobs_before"]) == (1, 2)
    his = as_bob.get(f"/jobs/{second['id']}").json()
    assert (his["queue_position"], his["jobs_before"], his["waiting_for"]) == (None, 1, "gpu")
    assert his["expected_start"]["to_seconds"] <= mine["expected_start"]["to_seconds"]
    as_gpu1.finish(runs)
    assert as_alice.get(f"/jobs/{mine['id']}").json()["jobs_before"] == 1


def test_users_who_come_between_are_counted(
    as_alice: Api, as_bob: Api, bob: User, gpu1: Executor
) -> None:
    host(gpu1)
    mine = [as_alice.submit() for _ in range(3)]
    as_bob.submit()
    shown = [as_alice.get(f"/jobs/{job['id']}").json() for job in mine]
    assert [job["queue_position"] for job in shown] == [1, 2, 3]  # as they stand now
    assert [job["jobs_before"] for job in shown] == [0, 2, 3]  # bob comes between


def test_a_place_that_no_host_can_fill_is_in_nobodys_way(
    as_alice: Api, as_bob: Api, gpu1: Executor, gpu2: Executor
) -> None:
    """Python for the CPU waits for a host that knows it; the C++ behind it does not."""
    host(gpu1, {"cpu": 1})
    as_bob.submit(filename="a.py")
    silent(gpu1, minutes=5)
    host(gpu2, {"cpu": 1}, languages=["cpp"])
    job = as_alice.submit(filename="a.cpp")
    assert (job["queue_position"], job["jobs_before"], job["waiting_for"]) == (2, 0, "turn")


@pytest.mark.parametrize("seconds", [1e6, 1e-300, 0.0, 86_401.0])
def test_whatever_executors_say_of_durations_and_places(
    as_alice: Api, as_bob: Api, gpu1: Executor, as_gpu1: Api, seconds: float
) -> None:
    host(gpu1, {"cuda": 10_000, "cpu": 10_000}, nproc_compile=10**30)
    for _ in range(3):
        as_bob.submit()
        as_gpu1.finish(as_gpu1.claim(), compile_seconds=seconds, execute_seconds=seconds)
    expected = as_alice.submit()["expected_start"]
    assert 0 <= expected["from_seconds"] < expected["to_seconds"] < 10**6


def test_a_mistake_in_what_is_expected_keeps_no_job_back(
    as_alice: Api, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(gpu1)
    monkeypatch.setattr("jobs.expectation._Service.add", lambda service, job: 1 / 0)
    job = as_alice.submit()
    assert (job["queue_position"], job["waiting_for"], job["jobs_before"]) == (1, "turn", None)


def test_far_behind_nothing_is_expected(
    as_alice: Api, as_bob: Api, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "_MOST_QUEUED", 2)
    host(gpu1)
    as_bob.submit()
    assert as_alice.submit()["jobs_before"] == 1
    third = as_alice.submit()
    assert (third["jobs_before"], third["waiting_for"]) == (None, "turn")
    assert as_alice.get("/queue").json()["queued"] == 3


# --- What it costs ----------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a server's process: what was looked at last is kept."""
    monkeypatch.setattr(outlook, "_kept", outlook._Kept())
    monkeypatch.setattr(platforms, "_kept", platforms._Kept())
    yield
    outlook._kept.snapshot = None


def statements(function: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        function()
    return [query["sql"] for query in captured]


def test_a_look_a_submission_and_the_queue_ask_nothing_more(
    as_alice: Api, bob: User, gpu1: Executor, kept: None
) -> None:
    """All of it comes from what was looked at once for everyone."""
    host(gpu1)
    ran(bob, gpu1, 20, 1.0, 10.0)
    path = f"/jobs/{as_alice.submit()['id']}"
    outlook.current()
    outlook._kept.until = platforms._kept.until = float("inf")
    assert as_alice.get(path).json()["expected_start"] is not None  # what is made once is made
    assert len(statements(lambda: as_alice.get(path))) == 3  # the bearer, the job and its place
    assert len(statements(lambda: as_alice.get("/queue"))) == 1
    submits = statements(as_alice.submit)
    assert not [s for s in submits if "accounts_platform" in s or "jobs_attempt" in s]
    outlook._kept.until = 0.0
    assert [s for s in statements(as_alice.submit) if "jobs_attempt" in s]


def test_a_look_at_the_queue_takes_few_statements_however_long_it_is(
    as_alice: Api, bob: User, gpu1: Executor
) -> None:
    host(gpu1)
    ran(bob, gpu1, 5, 1.0, 10.0)
    as_alice.submit()
    few = len(statements(outlook.Snapshot))
    for _ in range(20):
        as_alice.submit()
    assert len(statements(outlook.Snapshot)) == few <= 10
