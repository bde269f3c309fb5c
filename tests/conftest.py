"""Fixtures, and the rule about what is missing: skipped by name, or a failure under CI=true."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Executor, User
from foundation.database import connections
from jobs import cancelling, claiming, leases, reporting
from jobs.models import Job
from jobs.staff import requeue
from jobs.states import Phase, State
from tests.support import database
from tests.support.admin import browser, run, staff, submit
from tests.support.api import Api
from tests.support.live_api import host, job_id, nothing_kept, student
from tests.support.processes import World

__all__ = ("host", "job_id", "nothing_kept", "student")  # fixtures

# A shell that starts us in the background has SIGINT ignored, which our children would inherit;
# what is handled is the default again in them.
signal.signal(signal.SIGINT, signal.default_int_handler)


def need(component: str, found: object) -> None:
    """Skips the test for a missing component by its name; under CI=true that is a failure."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{component} is missing, and under CI=true nothing may be")
    pytest.skip(f"needs {component}")


# --- Which tests start processes, and which are begun first ------------------------------

# Fixtures whose tests start processes.
STARTERS = {"world", "fresh", "box", "slot", "place", "stub", "gate"}


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("end_to_end") or STARTERS & set(getattr(item, "fixturenames", ())):
        item.add_marker("processes")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, a long one that came last would be waited for alone."""

    def seconds(item: pytest.Item) -> float:
        long = item.get_closest_marker("long")
        return long.args[0] if long else 0

    if database.WORKER:
        items.sort(key=seconds, reverse=True)


_starts_nothing: list[str] = []  # the test that runs, if it is one of `make quick`


def _look_at_starts(event: str, arguments: object) -> None:
    if _starts_nothing and event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
        raise RuntimeError(f"{_starts_nothing[0]} starts a process: mark it `processes`")


sys.addaudithook(_look_at_starts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _starts_nothing[:] = [] if item.get_closest_marker("processes") else [item.nodeid]
    try:
        return (yield)
    finally:
        _starts_nothing.clear()


# --- Fixtures ----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def audit_log(settings, tmp_path: Path) -> Path:
    """Each test has an audit log of its own."""
    settings.TELERUN_AUDIT_LOG = tmp_path / "audit_log.jsonl"
    return settings.TELERUN_AUDIT_LOG


@pytest.fixture(autouse=True)
def kept_connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is one transaction keeps its connection, which a held request would give up."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        monkeypatch.setattr(connections, "release", lambda: None)


@pytest.fixture
def make_user(db: None) -> Callable[[str], User]:
    def make(name: str) -> User:
        return User.objects.create_user(username=name)

    return make


@pytest.fixture
def alice(make_user: Callable[[str], User]) -> User:
    return make_user("alice")


@pytest.fixture
def bob(make_user: Callable[[str], User]) -> User:
    return make_user("bob")


@pytest.fixture
def gpu1(db: None) -> Executor:
    return Executor.objects.create(name="gpu1")


@pytest.fixture
def gpu2(db: None) -> Executor:
    return Executor.objects.create(name="gpu2")


@pytest.fixture
def as_alice(alice: User) -> Api:
    return Api(alice.issue_token())


@pytest.fixture
def as_bob(bob: User) -> Api:
    return Api(bob.issue_token())


@pytest.fixture
def as_gpu1(gpu1: Executor) -> Api:
    return Api(gpu1.issue_token())


@pytest.fixture
def as_gpu2(gpu2: Executor) -> Api:
    return Api(gpu2.issue_token())


@pytest.fixture
def nobody(db: None) -> Api:
    return Api(None)


@pytest.fixture
def ta(db: None) -> Client:
    return browser(staff("ta"))


@pytest.fixture
def every_state(alice: User, gpu1: Executor, settings: Any) -> dict[str, Job]:
    """A job in each state, and one whose attempts ended in every way."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 9
    jobs = {"finished": submit(alice)}
    run(gpu1, compile_log=b"a warning", execute_log=b"hello there\n", exit_code=0)

    jobs["superseded"] = submit(alice)
    run(gpu1, outcome="runtime_error", signal=11)
    requeue(jobs["superseded"].pk, "ta")
    run(gpu1)

    jobs["failed"] = submit(alice)
    for _ in range(3):
        attempt = claiming.claim(gpu1)
        reporting.release(gpu1, attempt.pk, attempt.lease_token, "the disk is full")

    jobs["cancelled"] = submit(alice)
    cancelling.cancel(jobs["cancelled"].pk, "alice")

    jobs["expired"] = submit(alice)
    claiming.claim(gpu1)
    leases.expire(timezone.now() + timedelta(days=1))
    cancelling.cancel(jobs["expired"].pk, "alice")

    jobs["running"] = submit(alice)
    attempt = claiming.claim(gpu1)
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, Phase.EXECUTING)
    jobs["queued"] = submit(alice)
    assert set(Job.objects.values_list("state", flat=True)) == set(State)
    return jobs


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A queue of its own with real processes; all are gone after the test."""
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def own_watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a test that waits: a watcher of its own database, which ends with it."""
    from foundation.serving import waiting

    yield
    waiting.stop()
    if watcher := waiting._watcher:
        watcher.join(30)
    waiting.stopping.clear()
    monkeypatch.setattr(waiting, "_watcher", None)
