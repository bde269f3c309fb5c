"""How often one may submit, send a wrong token, or fail to log in: counted in the database."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import failures, tokens
from accounts.models import FailureCount, User
from jobs.models import Job
from tests.support.admin import Https, staff
from tests.support.api import SOURCE, Api, problem
from tests.support.processes import HELLO, World, side_by_side
from tests.support.stubs import fake_nvcc

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def small(settings: Any) -> Any:
    settings.TELERUN_SUBMITS_PER_MINUTE = 3
    settings.TELERUN_WRONG_TOKENS_PER_MINUTE = 3
    settings.TELERUN_FAILED_LOGINS = 3
    settings.TELERUN_MAX_QUEUED_PER_USER = 99
    return settings


# --- Submitting --------------------------------------------------------------------------


def test_who_submits_too_often_is_told_how_long_to_wait(as_alice: Api, as_bob: Api) -> None:
    first = as_alice.submit()["id"]
    assert as_alice.post(f"/jobs/{first}/cancel").status_code == 200  # it counts nevertheless
    as_alice.submit()
    job = as_alice.post("/jobs?override_pending=1", {"source": SOURCE}, Idempotency_Key="k").json()
    answer = as_alice.post("/jobs", {"source": SOURCE})
    assert problem(answer) == (429, "too-many-requests")
    assert 0 < int(answer["Retry-After"]) <= 60
    assert answer["Retry-After"] in answer.json()["detail"]
    again = as_alice.post("/jobs", {"source": SOURCE}, Idempotency_Key="k")
    assert (again.status_code, again.json()["id"]) == (201, job["id"])
    assert Job.objects.count() == 3
    as_bob.submit()


def test_a_minute_later_one_may_submit_again(as_alice: Api) -> None:
    first = as_alice.submit()["id"]
    for _ in range(2):
        as_alice.submit()
    assert as_alice.post("/jobs", {"source": SOURCE}).status_code == 429
    Job.objects.filter(pk=first).update(submitted_at=timezone.now() - timedelta(seconds=60))
    as_alice.submit()
    assert as_alice.post("/jobs", {"source": SOURCE}).status_code == 429


def test_a_clock_that_was_set_back_and_a_limit_of_none_keep_nobody_out(
    as_alice: Api, small: Any
) -> None:
    for _ in range(3):
        as_alice.submit()
    Job.objects.update(submitted_at=timezone.now() + timedelta(hours=1))
    as_alice.submit()
    small.TELERUN_SUBMITS_PER_MINUTE = 0
    for _ in range(5):
        as_alice.submit()


def test_the_limit_costs_one_statement(as_alice: Api, small: Any) -> None:
    counts = []
    as_alice.submit()  # the first one makes what all share
    for limit in (0, 30):
        small.TELERUN_SUBMITS_PER_MINUTE = limit
        with CaptureQueriesContext(connection) as queries:
            as_alice.submit()
        counts.append(len(queries))
    assert counts[1] - counts[0] == 1


@pytest.mark.hardening
@pytest.mark.long(13)
@pytest.mark.end_to_end
@pytest.mark.once
def test_the_client_says_so_waits_as_told_and_submits(tmp_path: Path) -> None:
    with World(tmp_path, TELERUN_SUBMITS_PER_MINUTE=1, TELERUN_MAX_QUEUED_PER_USER=9) as world:
        alice = world.user("alice")
        world.start_server()
        assert world.request(alice, "POST", "/jobs", {"source": "x"})[0] == 201
        world.aside(
            "shell", "-v0", "-c",
            "from datetime import timedelta as d; from jobs.models import Job;"
            "job = Job.objects.get();"
            "Job.objects.update(submitted_at=job.submitted_at - d(seconds=50))",
        )  # fmt: skip
        client = world.start_submit(alice, world.source(HELLO))
        client.wait_until_told("Submitted")
        assert "takes 1 of your submissions in a minute. Wait" in client.told()
        assert "seconds; trying again." in client.told()


@pytest.mark.end_to_end
@pytest.mark.once
def test_the_scripts_give_up_a_wrong_token_however_often_it_was_wrong(tmp_path: Path) -> None:
    with World(tmp_path, TELERUN_WRONG_TOKENS_PER_MINUTE=1) as world:
        world.start_server()
        alice, gpu1 = (
            world.auth("username", "alice", wrong()),
            world.auth("executor", "gpu1", wrong()),
        )
        for _ in range(2):
            done = world.submit(alice, world.source(HELLO)).no_traceback()
            assert (done.status, "does not accept the token" in done.err) == (3, True)
        assert "Too many wrong tokens" in done.err
        executor = world.start_executor(gpu1, nvcc=fake_nvcc(tmp_path))
        assert executor.popen.wait(30) == 1
        assert "refuses this executor" in executor.told()


# --- Wrong tokens ------------------------------------------------------------------------


def try_token(token: str, **extra: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return Api(None).request("GET", "/jobs", headers=headers, **extra)


def wrong() -> str:
    return tokens.make(tokens.USER_PREFIX)


def test_wrong_tokens_are_counted_by_address_and_good_ones_pass(as_alice: Api) -> None:
    mistyped = wrong()[:-1] + "!"
    for token in (wrong(), mistyped, "x"):
        assert problem(try_token(token)) == (401, "invalid-token")
    for token in (wrong(), mistyped):
        answer = try_token(token)
        assert problem(answer) == (429, "too-many-wrong-tokens")
        assert 0 < int(answer["Retry-After"]) <= 60
        assert re.search("unknown|mistyped", answer.json()["detail"])  # what is wrong, all the same
        assert token not in answer.content.decode()
    assert as_alice.get("/jobs").status_code == 200
    assert problem(Api(None).get("/jobs")) == (401, "not-authenticated")
    assert problem(try_token(wrong(), REMOTE_ADDR="192.0.2.9")) == (401, "invalid-token")
    # It has ended; or it was begun before the clock was set back by an hour.
    for ends_at in (timezone.now(), timezone.now() + timedelta(hours=1)):
        FailureCount.objects.update(ends_at=ends_at)
        assert [failures.seconds_left(c.key, 1) for c in FailureCount.objects.all()] == [0, 0]
    assert problem(try_token(wrong())) == (401, "invalid-token")


def test_a_good_token_costs_no_statement_more_and_a_refusal_writes_nothing(as_alice: Api) -> None:
    with CaptureQueriesContext(connection) as before:
        as_alice.get("/jobs")
    for _ in range(4):
        try_token(wrong())
    with CaptureQueriesContext(connection) as after:
        as_alice.get("/jobs")
    assert len(after) == len(before)
    with CaptureQueriesContext(connection) as refused:
        assert try_token(wrong()).status_code == 429
    # The failures counted, the token, one of a log-in code that is used first, the token again.
    assert [q["sql"].split()[0] for q in refused] == ["SELECT"] * 4


def test_a_disabled_account_is_no_wrong_token(as_alice: Api, alice: User) -> None:
    User.objects.update(is_active=False)
    for _ in range(5):
        assert problem(as_alice.get("/jobs")) == (401, "invalid-token")


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "address"),
    [
        ("", "192.0.2.1", "", "192.0.2.1"),
        ("", "192.0.2.1", "198.51.100.7", "192.0.2.1"),  # nobody's word but a proxy's
        ("192.0.2.1", "192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "192.0.2.1", "10.0.0.1, 198.51.100.7", "198.51.100.7"),
        ("192.0.2.1 192.0.2.2", "192.0.2.1", "198.51.100.7,192.0.2.2", "198.51.100.7"),
        ("192.0.2.1", "192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1", "nonsense", "unknown"),
        ("", "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("", "::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "fe80::1%eth0", "", "fe80::/64"),
    ],
)
def test_whose_address_counts(
    rf: Any, small: Any, proxies: str, remote: str, forwarded: str, address: str
) -> None:
    small.TELERUN_PROXIES = set(proxies.split())
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert failures.address_of(rf.get("/", REMOTE_ADDR=remote, headers=headers)) == address


# --- Log-ins -----------------------------------------------------------------------------


@pytest.fixture
def prof(db: None, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setattr(hashers.PBKDF2PasswordHasher, "iterations", 1000)
    user = staff("prof")
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed: the cost of an attempt."""
    seen: list[str] = []
    real = hashers.PBKDF2PasswordHasher.encode

    def encode(self: Any, password: str, *args: Any, **kwargs: Any) -> str:
        seen.append(password)
        return real(self, password, *args, **kwargs)

    monkeypatch.setattr(hashers.PBKDF2PasswordHasher, "encode", encode)
    return seen


def log_in(client: Client, name: str, password: str, address: str = "192.0.2.1") -> Any:
    data = {"username": name, "password": password, "next": "/admin/"}
    return client.post(LOGIN, data, REMOTE_ADDR=address)


def fail(times: int, name: str, address: str) -> None:
    for _ in range(times):
        assert log_in(Https(), name, "wrong", address).status_code == 200


def test_too_many_failures_from_an_address_and_no_password_is_hashed(
    prof: User, hashed: list[str]
) -> None:
    for number in range(3):
        fail(1, f"name{number}", "192.0.2.1")
    del hashed[:]
    answer = log_in(Https(), "prof", PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 600
    assert "Try again in 10 min" in answer.content.decode()
    assert hashed == []
    assert log_in(Https(), "prof", PASSWORD, "192.0.2.2").status_code == 302
    assert hashed == [PASSWORD]


def test_too_many_failures_for_a_name_from_anywhere(prof: User, hashed: list[str]) -> None:
    for number in range(3):
        fail(1, "prof", f"192.0.2.{number}")
    del hashed[:]
    assert log_in(Https(), "prof", PASSWORD, "198.51.100.1").status_code == 429
    assert hashed == []


def test_nobody_can_lock_a_user_out_of_a_browser_they_have_used(prof: User) -> None:
    own = Https()
    assert log_in(own, "prof", PASSWORD).status_code == 302
    cookie = own.cookies[failures.DEVICE_COOKIE]
    assert cookie["secure"]
    assert cookie["httponly"]
    own.logout()
    own.cookies[failures.DEVICE_COOKIE] = cookie.value
    fail(3, "prof", "192.0.2.1")
    assert log_in(Https(), "prof", PASSWORD).status_code == 429
    assert log_in(own, "prof", PASSWORD).status_code == 302
    own.cookies[failures.DEVICE_COOKIE] = cookie.value
    for _ in range(3):  # who stole the cookie gets no further
        assert log_in(own, "prof", "wrong").status_code == 200
    assert log_in(own, "prof", PASSWORD).status_code == 429
    forged = Https()
    forged.cookies[failures.DEVICE_COOKIE] = cookie.value.replace("prof", "root")
    fail(0, "root", "192.0.2.1")
    assert log_in(forged, "root", "wrong").status_code == 429


def test_success_is_not_counted_and_failures_are_forgotten_in_time(prof: User) -> None:
    for _ in range(5):
        assert log_in(Https(), "prof", PASSWORD).status_code == 302
    fail(3, "prof", "192.0.2.1")
    FailureCount.objects.update(ends_at=timezone.now())
    assert log_in(Https(), "prof", PASSWORD).status_code == 302
    fail(2, "prof", "192.0.2.1")
    assert FailureCount.objects.count() == 2  # those that are over are gone
    fail(1, "prof", "192.0.2.1")
    failures.forget_all()
    assert log_in(Https(), "prof", PASSWORD).status_code == 302


def test_what_is_typed_as_a_name_is_not_kept(prof: User) -> None:
    """Some type their password there."""
    log_in(Https(), PASSWORD, "wrong")
    assert PASSWORD not in str(list(FailureCount.objects.values()))


@pytest.mark.django_db(transaction=True)
def test_counting_at_once_lets_no_more_through() -> None:
    def attempt() -> int:
        try:
            return failures.count("k", 5, timedelta(minutes=1))
        finally:
            connection.close()

    allowed = [wait for wait in side_by_side(*[attempt] * 20) if wait == 0]
    assert len(allowed) == 5
