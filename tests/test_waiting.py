"""Long polling: answered as soon as something changes, and never later than asked."""

import contextlib
import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest

from accounts.models import Executor, User
from foundation.serving import waiters, waiting
from foundation.serving.feeds import Change
from jobs import cancelling, claiming, submitting
from jobs.models import Job
from jobs.submitting import Submission
from tests.support.api import Api
from tests.support.processes import wait_for
from tests.support.threads import later

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_watcher")]


def test_without_an_etag_nobody_waits(alice: User) -> None:
    api = Api(alice.issue_token())
    job = api.submit()
    began = time.monotonic()
    assert api.get(f"/jobs/{job['id']}", Prefer="wait=20").status_code == 200
    assert time.monotonic() - began < 10


def test_304_when_nothing_changed_in_time(alice: User) -> None:
    api = Api(alice.issue_token())
    answer = api.post("/jobs", {"source": "x"})
    path = f"/jobs/{answer.json()['id']}"
    began = time.monotonic()
    unchanged = api.get(path, Prefer="wait=1", If_None_Match=answer["ETag"])
    assert unchanged.status_code == 304
    assert unchanged["Preference-Applied"] == "wait=1"
    assert unchanged["ETag"] == answer["ETag"]
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("change", ["claimed", "cancelled"])
def test_a_change_ends_the_wait(change: str, alice: User, gpu1: Executor) -> None:
    api = Api(alice.issue_token())
    answer = api.post("/jobs", {"source": "x"})
    job_id = answer.json()["id"]
    act = {
        "claimed": lambda: claiming.claim(gpu1),
        "cancelled": lambda: cancelling.cancel(job_id, "ta"),
    }[change]
    thread = later(0.3, act)
    began = time.monotonic()
    changed = api.get(f"/jobs/{job_id}", Prefer="wait=20", If_None_Match=answer["ETag"])
    assert time.monotonic() - began < 15
    assert changed.status_code == 200
    assert changed.json()["state"] == {"claimed": "running", "cancelled": "cancelled"}[change]
    assert changed["ETag"] != answer["ETag"]
    thread.join()


def test_moving_up_in_the_queue_is_a_change(alice: User, bob: User, gpu1: Executor) -> None:
    api = Api(bob.issue_token())
    submitting.submit(alice, Submission("x"))
    answer = api.post("/jobs", {"source": "x"})
    assert answer.json()["queue_position"] == 2
    thread = later(0.3, lambda: claiming.claim(gpu1))
    changed = api.get(
        f"/jobs/{answer.json()['id']}", Prefer="wait=20", If_None_Match=answer["ETag"]
    )
    assert changed.json()["queue_position"] == 1
    thread.join()


def test_an_idle_executor_gets_a_job_as_it_comes(alice: User, gpu1: Executor) -> None:
    api = Api(gpu1.issue_token())
    thread = later(0.3, lambda: submitting.submit(alice, Submission("x")))
    began = time.monotonic()
    answer = api.post("/claims", {}, Prefer="wait=10")
    assert answer.status_code == 201
    assert answer["Preference-Applied"] == "wait=10"
    assert time.monotonic() - began < 15
    thread.join()


def test_the_wait_is_capped(gpu1: Executor, settings) -> None:
    settings.TELERUN_MAX_WAIT_SECONDS = 1
    api = Api(gpu1.issue_token())
    answer = api.post("/claims", {}, Prefer="wait=3600")
    assert (answer.status_code, answer["Preference-Applied"]) == (204, "wait=1")


def test_a_claim_is_over_before_the_lease_of_a_host_that_fell_silent(
    gpu1: Executor, settings
) -> None:
    settings.TELERUN_LEASE_SECONDS = 3
    answer = Api(gpu1.issue_token()).post("/claims", {}, Prefer="wait=20")
    assert (answer.status_code, answer["Preference-Applied"]) == (204, "wait=1")


@pytest.mark.parametrize("prefer", ["wait=x", "wait=-1", "wait", "respond-async", "wait=²", ""])
def test_a_preference_that_is_none_does_not_wait(prefer: str, gpu1: Executor) -> None:
    began = time.monotonic()
    assert Api(gpu1.issue_token()).post("/claims", {}, Prefer=prefer).status_code == 204
    assert time.monotonic() - began < 10


def test_a_server_that_stops_ends_every_wait(gpu1: Executor) -> None:
    thread = later(0.3, waiting.stop)
    began = time.monotonic()
    assert Api(gpu1.issue_token()).post("/claims", {}, Prefer="wait=20").status_code == 204
    assert time.monotonic() - began < 15
    thread.join()


def test_no_connection_to_the_database_is_held_while_waiting(
    gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    wait = threading.Event.wait

    def spy(event: threading.Event, *args: Any) -> bool:
        if event in [w.woken for ws in list(waiting._waiters._waiters.values()) for w in ws]:
            held.append(connection.connection)
        return wait(event, *args)

    monkeypatch.setattr(threading.Event, "wait", spy)
    api = Api(gpu1.issue_token())
    assert api.post("/claims", {}, Prefer="wait=1").status_code == 204
    assert held
    assert set(held) == {None}


def test_news_of_a_job_wakes_its_own_waiters_alone(
    alice: User, bob: User, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 60.0)
    looks = {"alice": 0, "bob": 0}
    jobs = {user.username: submitting.submit(user, Submission("x"))[0] for user in (alice, bob)}
    done = threading.Event()

    def wait(name: str) -> None:
        def look() -> bool | None:
            looks[name] += 1
            return True if Job.objects.get(pk=jobs[name].pk).state == "cancelled" else None

        waiting.until(look, 20, HttpRequest(), jobs[name].pk)
        connection.close()
        if name == "alice":
            done.set()

    threads = [threading.Thread(target=wait, args=(name,)) for name in looks]
    for thread in threads:
        thread.start()
    wait_for(lambda: looks == {"alice": 1, "bob": 1}, "both look once and then wait")
    cancelling.cancel(jobs["alice"].pk, "ta")
    assert done.wait(20)
    assert looks == {"alice": 2, "bob": 1}
    cancelling.cancel(jobs["bob"].pk, "ta")
    for thread in threads:
        thread.join()


def test_a_stream_looks_at_its_job_for_a_change_and_not_for_each_comment(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand that send a comment each five seconds would look 200 times a second."""
    monkeypatch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 60.0)

    def fail() -> None:
        raise OperationalError

    with waiting.begin(HttpRequest(), 7, reads_output=True) as wait:
        assert wait.is_due()
        assert wait.sleep(0.01)  # until a comment
        assert not wait.is_due()
        waiting.wake_readers(7)  # more output
        assert not wait.is_due()
        waiting.wake([7])
        assert wait.is_due()
        assert not wait.is_due()
        with pytest.raises(OperationalError):
            wait.look(fail)
        wait_for(wait.is_due, "it looks again soon, for nothing was seen", 5)


def test_a_new_job_wakes_one_idle_executor_and_one_who_leaves_passes_it_on(db: None) -> None:
    board = waiters.Waiters()
    first, *others = (waiters.Waiter(waiters.QUEUE, None, None, {"cuda"}) for _ in range(3))
    with contextlib.ExitStack() as stack:
        leaving = contextlib.ExitStack()
        leaving.enter_context(board.waiting(first))
        for other in others:
            stack.enter_context(board.waiting(other))
        board.wake(Change(7, "cuda"))
        assert [w.woken.is_set() for w in (first, *others)] == [True, False, False]
        leaving.close()  # with a job, it may be: another one was announced meanwhile
        assert [w.woken.is_set() for w in others] == [True, False]
        board.wake(Change(8))
        assert [w.woken.is_set() for w in others] == [True, False]


@pytest.mark.parametrize("kind", ["held", "streamed"])
def test_requests_that_are_held_for_one_user_are_few(
    kind: str, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X5: an executor's claims are bounded by its slots, and not here."""
    monkeypatch.setattr(waiters, "MAX_OF_USER", 2)

    def ask(user: User) -> Any:
        api = Api(user.issue_token())
        answer = api.post("/jobs", {"source": "x"})
        path = f"/jobs/{answer.json()['id']}"
        if kind == "streamed":
            return api.get(path + "/events")
        return api.get(path, Prefer="wait=1", If_None_Match=answer["ETag"])

    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(waiting.begin(HttpRequest(), 99, alice.pk))
        refused = ask(alice)
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert refused["Retry-After"]
        other = ask(bob)
        assert other.status_code == (200 if kind == "streamed" else 304)
        other.close()
    cancelling.cancel(Job.objects.get(user=alice).pk, "ta")
    assert ask(alice).status_code < 400
    assert not waiting._waiters._of_user.get(bob.pk)


def test_the_feed_is_opened_anew_when_the_database_was_away(
    alice: User, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(alice.issue_token())
    answer = api.post("/jobs", {"source": "x"})
    feed = waiting._running_watcher()._feed
    read = feed.read

    def read_of_what_is_closed() -> Any:
        feed.close()  # as a restart of PostgreSQL would; in the thread that reads, as SQLite needs
        return read()

    monkeypatch.setattr(feed, "read", read_of_what_is_closed)
    thread = later(0.5, lambda: claiming.claim(gpu1))
    path = f"/jobs/{answer.json()['id']}"
    changed = api.get(path, Prefer="wait=20", If_None_Match=answer["ETag"])
    assert changed.json()["state"] == "running"
    thread.join()


def test_who_is_woken_and_takes_nothing_wakes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five that wait, two of whom could have it: none sleeps while one can take the job."""
    monkeypatch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 60.0)  # nobody looks unless woken
    is_there = threading.Event()  # the job; before it, a look more or less changes nothing
    found: list[int] = []
    waiting_now = threading.Semaphore(0)

    def wait(number: int) -> None:
        def look() -> int | None:
            waiting_now.release()
            return number if number >= 3 and is_there.is_set() else None

        if waiting.until(look, 20, HttpRequest(), waiting.QUEUE, platforms={"cuda"}) is not None:
            found.append(number)
        connection.close()

    threads = [threading.Thread(target=wait, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
        waiting_now.acquire()
    wait_for(lambda: waiting._waiters.count == 5, "all wait")
    is_there.set()
    waiting._waiters.wake(Change(1, "cuda"))
    wait_for(lambda: found, "one takes it", 10)
    waiting.stop()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("change", ["disabled", "revoked"])
def test_a_held_claim_of_an_executor_out_of_service_gets_no_job(
    change: str, alice: User, gpu1: Executor
) -> None:
    api = Api(gpu1.issue_token())

    def act() -> None:
        changes = {"disabled": {"enabled": False}, "revoked": {"token_digest": None}}[change]
        Executor.objects.update(**changes)
        submitting.submit(alice, Submission("x"))

    thread = later(0.3, act)
    answer = api.post("/claims", {}, Prefer="wait=2")
    thread.join()
    assert answer.status_code == {"disabled": 403, "revoked": 204}[change]
    assert Job.objects.get().state == "queued"
