"""A job's stream of events: what it says, when it ends, and from where it goes on."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from accounts.models import Executor, User
from foundation.serving import waiters, waiting
from jobs import cancelling, claiming, submitting
from jobs.api.v1 import answers, events
from jobs.submitting import Submission
from tests.support.api import Api
from tests.support.changed import changed
from tests.support.processes import World, wait_for
from tests.support.scripts import load
from tests.support.threads import later

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_watcher")]


class Stream:
    """The events of a job, read one after the other."""

    def __init__(self, api: Api, job_id: int, **headers: str) -> None:
        self.answer = api.get(f"/jobs/{job_id}/events", **headers)
        self._parts = iter(self.answer.streaming_content)

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """The next event's id and job, comments left out; None at the end."""
        for part in self._parts:
            fields = dict(line.split(": ", 1) for line in part.decode().split("\n") if ": " in line)
            if fields:
                assert fields["event"] == "job"
                assert part.endswith(b"\n\n")
                return fields["id"], json.loads(fields["data"])
        return None

    def close(self) -> None:
        self.answer.close()


def test_a_job_is_told_of_from_the_queue_to_its_end(alice: User, gpu1: Executor) -> None:
    api, executor = Api(alice.issue_token()), Api(gpu1.issue_token())
    stream = Stream(api, api.submit()["id"])
    assert stream.answer.status_code == 200
    assert stream.answer["Content-Type"] == "text/event-stream"
    assert stream.answer["Cache-Control"] == "no-cache"
    assert stream.answer["X-Accel-Buffering"] == "no"
    _, job = stream.next()
    assert (job["state"], job["queue_position"]) == ("queued", 1)
    claimed = executor.claim()
    _, job = stream.next()
    assert (job["state"], job["phase"], job["executor"]) == ("running", "compiling", "gpu1")
    lease = {"lease_token": claimed["attempt"]["lease_token"], "phase": "executing"}
    executor.post(f"/attempts/{claimed['attempt']['id']}/heartbeat", lease)
    assert stream.next()[1]["phase"] == "executing"
    executor.finish(claimed, execute_log="hello", exit_code=0)
    _, job = stream.next()
    whole = api.get(f"/jobs/{job['id']}").json()
    assert whole["result"].pop("execute_log") == "hello"
    assert whole["result"].pop("compile_log") == ""
    assert job == whole
    assert stream.next() is None


def test_a_stream_goes_on_after_the_last_event_that_is_known(alice: User, gpu1: Executor) -> None:
    api = Api(alice.issue_token())
    job_id = api.submit()["id"]
    stream = Stream(api, job_id)
    first, _ = stream.next()
    stream.close()
    stream = Stream(api, job_id, Last_Event_ID=first)
    thread = later(0.3, lambda: claiming.claim(gpu1))
    second, job = stream.next()
    assert job["state"] == "running"  # not "queued" again
    thread.join()
    stream.close()
    cancelling.cancel(job_id, "ta")
    stream = Stream(api, job_id, Last_Event_ID=second)
    assert stream.next()[1]["cancel_requested_at"]
    stream.close()


@pytest.mark.parametrize(
    "unknown", ["", "x", "1-2-3", "9" * 30, "1-0-0-1-1", "1-0-0-1-1-0-0", "²-0-0-1-1-0"]
)
def test_an_unknown_event_is_the_beginning(unknown: str, alice: User) -> None:
    api = Api(alice.issue_token())
    stream = Stream(api, api.submit()["id"], Last_Event_ID=unknown)
    assert stream.next()[1]["state"] == "queued"
    stream.close()


def test_after_the_last_event_there_is_none(alice: User) -> None:
    api = Api(alice.issue_token())
    job_id = api.submit()["id"]
    cancelling.cancel(job_id, "ta")
    stream = Stream(api, job_id)
    last, job = stream.next()
    assert job["state"] == "cancelled"
    assert stream.next() is None
    assert api.get(f"/jobs/{job_id}/events", Last_Event_ID=last).status_code == 204


def test_another_end_of_the_same_version_is_told(alice: User) -> None:
    """After a power cut a version may have been given twice: no reader may miss the end."""
    api = Api(alice.issue_token())
    job_id = api.submit()["id"]
    cancelling.cancel(job_id, "ta")
    running_before_the_cut = "1-0-0-2-0-0"
    stream = Stream(api, job_id, Last_Event_ID=running_before_the_cut)
    assert stream.next()[1]["state"] == "cancelled"
    assert stream.next() is None


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "image/png", "*/*"])
def test_whatever_is_accepted(accept: str, alice: User) -> None:
    api = Api(alice.issue_token())
    job_id = api.submit()["id"]
    stream = Stream(api, job_id, Accept=accept)
    assert stream.answer["Content-Type"] == "text/event-stream"
    stream.close()
    missing = api.get("/jobs/999/events", Accept=accept)
    assert missing.status_code == 404
    assert missing.json()["type"] == "/problems/not-found"


def test_nobody_elses_job(alice: User, bob: User, gpu1: Executor) -> None:
    job, _ = submitting.submit(alice, Submission("x"))
    assert Api(bob.issue_token()).get(f"/jobs/{job.pk}/events").status_code == 404
    assert Api(gpu1.issue_token()).get(f"/jobs/{job.pk}/events").status_code == 403
    assert Api(None).get(f"/jobs/{job.pk}/events").status_code == 401


def test_moving_up_is_told_and_leaves_the_version(alice: User, bob: User) -> None:
    first, _ = submitting.submit(alice, Submission("x"))
    api = Api(bob.issue_token())
    stream = Stream(api, api.submit()["id"])
    assert stream.next()[1]["queue_position"] == 2
    thread = later(0.2, lambda: cancelling.cancel(first.pk, "ta"))
    assert stream.next()[1]["queue_position"] == 1
    thread.join()
    stream.close()


def test_silence_is_broken_by_comments(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events.COMMENT_SECONDS <= 15
    monkeypatch.setattr(events, "COMMENT_SECONDS", 0.2)
    api = Api(alice.issue_token())
    answer = api.get(f"/jobs/{api.submit()['id']}/events")
    assert answer["Telerun-Comment-Seconds"] == "1"
    parts = iter(answer.streaming_content)
    assert next(parts).startswith(b"event: job\n")
    assert [next(parts), next(parts)] == [b":\n\n", b":\n\n"]
    answer.close()


@pytest.mark.parametrize("change", ["replaced", "revoked", "disabled", "deleted"])
def test_a_stream_ends_with_its_token(
    change: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 0.1)
    api = Api(alice.issue_token())
    stream = Stream(api, api.submit()["id"])
    assert stream.next()

    def act() -> None:
        if change == "replaced":
            alice.issue_token()
        elif change == "deleted":
            User.objects.filter(pk=alice.pk).delete()
        else:
            changes = {"revoked": {"token_digest": None}, "disabled": {"is_active": False}}
            User.objects.filter(pk=alice.pk).update(**changes[change])

    thread = later(0.2, act)
    assert stream.next() is None
    thread.join()


def test_no_connection_to_the_database_is_held(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    sleep = waiting.Wait.sleep

    def spy(wait: waiting.Wait, seconds: float) -> bool:
        goes_on = sleep(wait, seconds)
        held.append(connection.connection)
        return goes_on

    monkeypatch.setattr(waiting.Wait, "sleep", spy)
    monkeypatch.setattr(events, "COMMENT_SECONDS", 0.1)
    api = Api(alice.issue_token())
    answer = api.get(f"/jobs/{api.submit()['id']}/events")
    parts = iter(answer.streaming_content)
    for _ in range(3):
        next(parts)
        assert connection.connection is None  # while it is being sent
    assert held
    assert set(held) == {None}
    answer.close()


def test_a_stream_that_nobody_reads_any_longer_waits_for_nothing(alice: User) -> None:
    api = Api(alice.issue_token())
    answer = api.get(f"/jobs/{api.submit()['id']}/events")
    assert waiting._waiters.count == 1
    answer.close()  # before anything was read
    assert waiting._waiters.count == 0


def test_a_stream_outlives_a_database_that_is_away(
    alice: User, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 0.1)
    api = Api(alice.issue_token())
    stream = Stream(api, api.submit()["id"])
    assert stream.next()
    away = [OperationalError("away"), InterfaceError("closed")]
    whole_event = answers.event

    def asked(*arguments: Any) -> answers.JobEvent:
        if away:
            raise away.pop()
        return whole_event(*arguments)

    monkeypatch.setattr(answers, "event", asked)
    claiming.claim(gpu1)
    assert stream.next()[1]["state"] == "running"
    assert not away
    stream.close()


def test_the_head_of_a_stream_alone(alice: User) -> None:
    api = Api(alice.issue_token())
    answer = api.request("HEAD", f"/jobs/{api.submit()['id']}/events")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")


# --- With real servers -------------------------------------------------------------------


@pytest.mark.end_to_end
@pytest.mark.once
def test_a_stalled_stream_is_noticed_within_ten_seconds(world: World) -> None:
    """S11: what the queue promises is what submit.py goes by."""
    submit = load("submit")
    world.start_server()
    alice = world.user("alice")
    job = world.request(alice, "POST", "/jobs", {"source": "x"})[2]
    queue = submit.StreamingQueue(submit.read_auth(alice, "username", None))
    stream = submit.Events(queue, job["id"])
    assert stream.open().status == 200
    assert events.COMMENT_SECONDS < stream.silence < 10
    queue.close()


@pytest.mark.end_to_end
@pytest.mark.once
def test_a_server_that_stops_ends_its_streams_and_clients_go_on(world: World) -> None:
    alice, gpu = world.user("alice"), world.executor("gpu1")
    server = world.start_server()
    submit = world.start_submit(alice, world.source("x"))
    submit.wait_until_told("next in the queue")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    time.sleep(1)
    assert submit.popen.poll() is None
    world.start_server()
    claim = world.request(gpu, "POST", "/claims", {})[2]
    result = {"lease_token": claim["attempt"]["lease_token"], "outcome": "succeeded"}
    path = f"/attempts/{claim['attempt']['id']}/result"
    assert world.request(gpu, "PUT", path, {**result, "execute_log": "done\n"})[0] == 200
    assert submit.popen.wait(30) == 0
    assert "done" in submit.told()


@pytest.mark.end_to_end
@pytest.mark.once
def test_of_an_older_queue_each_change_is_asked_for(world: World, tmp_path: Path) -> None:
    alice, gpu = world.user("alice"), world.executor("gpu1")
    without = "urlpatterns = [p for p in urlpatterns if p.name != 'job-events']"
    world.start_server(**changed(tmp_path, "jobs.api.v1.urls", without))
    assert world.request(alice, "GET", "/jobs/1/events")[0] == 404
    submit = world.start_submit(alice, world.source("x"))
    submit.wait_until_told("next in the queue")
    claim = world.request(gpu, "POST", "/claims", {})[2]
    submit.wait_until_told("compiling on gpu1")
    result = {"lease_token": claim["attempt"]["lease_token"], "outcome": "succeeded"}
    path = f"/attempts/{claim['attempt']['id']}/result"
    assert world.request(gpu, "PUT", path, {**result, "execute_log": "done\n"})[0] == 200
    assert submit.popen.wait(30) == 0
    assert "done" in submit.told()


@pytest.mark.end_to_end
@pytest.mark.once
def test_who_hangs_up_is_forgotten_at_once(world: World) -> None:
    """Otherwise one could wait for a job no more than so often."""
    alice = world.user("alice")
    world.start_server(TELERUN_WORKERS=1)
    job_id = world.request(alice, "POST", "/jobs", {"source": "x"})[2]["id"]
    token = json.loads(alice.read_text())["token"]
    for _ in range(waiters.MAX_OF_USER + 8):
        with world.connection() as connection:
            connection.request(
                "GET", f"/api/v1/jobs/{job_id}/events", headers={"Authorization": f"Bearer {token}"}
            )
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.readline() == b"event: job\n"

    def is_free() -> bool:
        with world.connection() as connection:
            connection.request(
                "GET", f"/api/v1/jobs/{job_id}/events", headers={"Authorization": f"Bearer {token}"}
            )
            return connection.getresponse().status == 200

    wait_for(is_free, "another stream is given", 10)
