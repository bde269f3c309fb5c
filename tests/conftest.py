"""Fixtures, and the rule about what is missing: skipped by name, or a failure under CI=true."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounts.models import Executor, User
from tests.support.api import Api
from tests.support.processes import World


def need(component: str, found: object) -> None:
    """Skips the test for a missing component by its name; under CI=true that is a failure."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{component} is missing, and under CI=true nothing may be")
    pytest.skip(f"needs {component}")


@pytest.fixture(autouse=True)
def audit_log(settings, tmp_path: Path) -> Path:
    """Each test has an audit log of its own."""
    settings.TELERUN_AUDIT_LOG = tmp_path / "audit_log.jsonl"
    return settings.TELERUN_AUDIT_LOG


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
def world(tmp_path: Path) -> Iterator[World]:
    """A queue of its own with real processes; all are gone after the test."""
    with World(tmp_path) as world:
        yield world
