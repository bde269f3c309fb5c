"""Why a job waits: its turn, a GPU, or a host; and that its student hears of it."""

import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts import executors, platforms
from accounts.gpus import Working, working
from accounts.models import Executor, Gpu, User
from jobs import claiming, reporting
from tests.support.api import Api
from tests.support.changed import changed
from tests.support.hosts import BROKEN, H100, L4, LANGUAGES, host, ran, silent
from tests.support.processes import World, wait_for
from tests.support.stubs import fake_nvcc

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def several(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = settings.TELERUN_SUBMITS_PER_MINUTE = 100


def waits(api: Api, job: dict[str, Any]) -> tuple[str | None, datetime | None]:
    shown = api.get(f"/jobs/{job['id']}").json()
    since = shown["no_executor_since"]
    return shown["waiting_for"], since and datetime.fromisoformat(since.replace("Z", "+00:00"))


def test_from_the_queue_to_the_end(as_alice: Api, gpu1: Executor, as_gpu1: Api) -> None:
    host(gpu1)
    job = as_alice.submit()
    assert (job["waiting_for"], job["no_executor_since"]) == ("turn", None)
    claimed = as_gpu1.claim()
    assert waits(as_alice, job)[0] is None
    as_gpu1.beat(claimed, "waiting")
    assert waits(as_alice, job)[0] == "gpu"
    as_gpu1.beat(claimed, "executing")
    assert waits(as_alice, job)[0] is None
    as_gpu1.finish(claimed)
    shown = as_alice.get(f"/jobs/{job['id']}").json()
    for name in ("waiting_for", "no_executor_since", "jobs_before", "expected_start"):
        assert shown[name] is None


def test_a_job_for_the_cpu_waits_for_its_turn_when_it_is_compiled(
    as_alice: Api, gpu1: Executor
) -> None:
    host(gpu1, {"cpu": 1})
    job = as_alice.submit(filename="a.cpp")
    service = platforms.service(gpu1, {"cpu": 1}, LANGUAGES)
    attempt = claiming.claim(gpu1, service=service)
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, "waiting")
    assert waits(as_alice, job)[0] == "turn"


def test_with_no_host_ever_nobody_knows_since_when(as_alice: Api) -> None:
    job = as_alice.submit()
    assert (job["waiting_for"], job["no_executor_since"]) == ("no-executor", None)
    assert (job["jobs_before"], job["expected_start"]) == (None, None)
    assert job["queue_position"] == 1


def test_a_host_that_died_is_said_with_when_it_was_heard_of_and_comes_back(
    as_alice: Api, gpu1: Executor, gpu2: Executor
) -> None:
    host(gpu1)
    host(gpu2)
    job = as_alice.submit()
    silent(gpu1, hours=2)
    assert waits(as_alice, job) == ("turn", None)
    since = silent(gpu2, minutes=12)
    assert waits(as_alice, job) == ("no-executor", since)  # the last of them
    host(gpu1)
    assert waits(as_alice, job) == ("turn", None)


@pytest.mark.parametrize(("seconds", "word"), [(20, "turn"), (29, "no-executor")])
def test_it_is_said_within_a_lease(
    as_alice: Api, gpu1: Executor, seconds: float, word: str
) -> None:
    """One that lives is noted every 20 seconds: it asks every 15, and a sign of five seconds after
    the last is not written."""
    host(gpu1)
    job = as_alice.submit()
    silent(gpu1, seconds=seconds)
    assert waits(as_alice, job)[0] == word


def test_the_time_follows_the_lease(as_alice: Api, gpu1: Executor, settings: Any) -> None:
    settings.TELERUN_LEASE_SECONDS = 600
    host(gpu1)
    job = as_alice.submit()
    silent(gpu1, seconds=400)
    assert waits(as_alice, job)[0] == "turn"


def test_a_host_of_the_future_is_one_of_a_clock_that_was_set_back(
    as_alice: Api, gpu1: Executor
) -> None:
    host(gpu1)
    job = as_alice.submit()
    silent(gpu1, hours=-1)
    assert waits(as_alice, job)[0] == "no-executor"
    gpu1.refresh_from_db()
    executors.seen(gpu1)
    assert waits(as_alice, job)[0] == "turn"


def test_a_host_of_another_platform_runs_nothing_of_mine(
    as_alice: Api, gpu1: Executor, gpu2: Executor
) -> None:
    host(gpu1, {"cuda": 1, "h100": 1}, H100)
    job = as_alice.submit(platform="h100")
    since = silent(gpu1, minutes=3)
    host(gpu2, {"cuda": 1, "l4": 1, "cpu": 4}, L4)
    assert waits(as_alice, job) == ("no-executor", since)
    assert as_alice.submit()["waiting_for"] == "turn"


def test_nor_does_one_that_knows_not_its_language(
    as_alice: Api, gpu1: Executor, gpu2: Executor
) -> None:
    host(gpu1, {"cpu": 1})
    job = as_alice.submit(filename="a.py")
    silent(gpu1, minutes=3)
    host(gpu2, {"cpu": 1}, languages=["cpp"])
    assert waits(as_alice, job)[0] == "no-executor"


@pytest.mark.parametrize("what", ["executor", "platform"])
def test_nor_what_staff_took_out_of_service(as_alice: Api, gpu1: Executor, what: str) -> None:
    host(gpu1)
    job = as_alice.submit()
    (Executor.objects if what == "executor" else gpu1.platforms).update(enabled=False)
    assert waits(as_alice, job) == ("no-executor", None)


def test_gpus_in_quarantine_count_as_none(as_alice: Api, gpu1: Executor) -> None:
    host(gpu1, {"cuda": 2, "cpu": 2}, H100, {**H100, "uuid": "GPU-c"})
    job, other = as_alice.submit(), as_alice.submit(filename="a.cpp")
    host(gpu1, {"cuda": 2, "cpu": 2}, H100, {**H100, "uuid": "GPU-c", **BROKEN})
    assert waits(as_alice, job)[0] == "turn"
    later = {**BROKEN, "since": "2026-03-01T12:30:00+00:00"}
    host(gpu1, {"cuda": 2, "cpu": 2}, {**H100, **later}, {**H100, "uuid": "GPU-c", **BROKEN})
    assert waits(as_alice, job) == (
        "no-executor",
        datetime.fromisoformat("2026-03-01T12:30:00+00:00"),
    )
    assert waits(as_alice, other)[0] == "turn"  # the CPU is well
    host(gpu1, {"cuda": 2, "cpu": 2}, H100, {**H100, "uuid": "GPU-c", **BROKEN})
    assert waits(as_alice, job)[0] == "turn"


def test_a_kind_whose_gpus_are_all_broken_is_served_by_nobody(
    as_alice: Api, gpu1: Executor
) -> None:
    offers = {"cuda": 2, "h100": 1, "l4": 1}
    host(gpu1, offers, H100, L4)
    gpu1.platforms.filter(reported="h100").update(name="hopper")
    on_h100, on_l4, on_any = (as_alice.submit(platform=p) for p in ("hopper", "l4", "cuda"))
    host(gpu1, offers, {**H100, **BROKEN}, L4)
    assert [waits(as_alice, job)[0] for job in (on_h100, on_l4, on_any)] == [
        "no-executor", "turn", "turn",
    ]  # fmt: skip


def test_a_gpu_that_was_not_tried_yet_counts(as_alice: Api, gpu1: Executor) -> None:
    host(gpu1, None, {**H100, "condition": "not yet tried"})
    assert as_alice.submit()["waiting_for"] == "turn"


@pytest.mark.parametrize("since", ["", "yesterday", "2026-13-45T00:00:00Z", "2026-03-01T10:00:00"])
def test_since_when_a_gpu_is_broken_may_be_anything(
    as_alice: Api, gpu1: Executor, since: str
) -> None:
    host(gpu1, None, {**H100, **BROKEN, "since": since})
    job = as_alice.submit()
    assert (job["waiting_for"], job["no_executor_since"]) == ("no-executor", None)


def test_no_time_lies_ahead(as_alice: Api, gpu1: Executor) -> None:
    host(gpu1, None, {**H100, **BROKEN, "since": "2099-01-01T00:00:00Z"})
    assert waits(as_alice, as_alice.submit())[1] <= timezone.now()


GPUS = {
    "h100": "NVIDIA H100 80GB HBM3", "l40s": "NVIDIA L40S", "l4": "NVIDIA L4",
    "rtx4000-ada": "NVIDIA RTX 4000 Ada Generation", "rtx4090": "NVIDIA GeForce RTX 4090",
    "a100": "NVIDIA A100-SXM4-80GB", "h100-mig-1g.10gb": "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    "rtx-pro6000-blackwell": "NVIDIA RTX PRO 6000 Blackwell Server Edition",
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("kind", GPUS)
def test_gpus_serve_the_platform_that_has_their_name(kind: str) -> None:
    slots = dict.fromkeys([*GPUS, "cuda"], 1) | {"cuda": len(GPUS), "cpu": 3}
    gpus = [
        Gpu(uuid=k, name=name, condition="quarantined" if k == kind else "ready")
        for k, name in GPUS.items()
    ]
    found = working(slots, gpus)
    assert {k: w.places for k, w in found.items()} == {
        **dict.fromkeys(GPUS, 1), kind: 0, "cuda": len(GPUS) - 1, "cpu": 3,
    }  # fmt: skip
    assert found["cuda"].gpus == len(GPUS) - 1


@pytest.mark.once
def test_of_a_platform_with_a_name_of_its_own_all_gpus_count() -> None:
    gpus = [Gpu(uuid="a", name="NVIDIA H100", condition="quarantined")]
    assert working({"lab-7": 1}, gpus)["lab-7"].places == 0
    assert working({"lab-7": 1, "cpu": 1}, []) == {"lab-7": Working(1, 0), "cpu": Working(1, 0)}


# --- Being told --------------------------------------------------------------------------------


def test_the_etag_differs_when_the_last_host_goes(as_alice: Api, gpu1: Executor) -> None:
    host(gpu1)
    job = as_alice.submit()
    before = as_alice.get(f"/jobs/{job['id']}")["ETag"]
    silent(gpu1, minutes=1)
    gone = as_alice.get(f"/jobs/{job['id']}", If_None_Match=before, Prefer="wait=20")
    assert gone.status_code == 200
    assert gone.json()["waiting_for"] == "no-executor"
    host(gpu1)
    assert as_alice.get(f"/jobs/{job['id']}", If_None_Match=gone["ETag"])["ETag"] == before


def test_what_is_expected_is_no_part_of_the_etag(as_alice: Api, gpu1: Executor, bob: User) -> None:
    host(gpu1)
    job = as_alice.submit()
    before = as_alice.get(f"/jobs/{job['id']}")
    assert before.json()["expected_start"] is None
    ran(bob, gpu1, 5, 1.0, 5.0)
    after = as_alice.get(f"/jobs/{job['id']}")
    assert after.json()["expected_start"] is not None
    assert after["ETag"] == before["ETag"]


class Stream:
    """A job's events, whatever else is between them."""

    def __init__(self, api: Api, job: dict[str, Any], **headers: str) -> None:
        self.answer = api.get(f"/jobs/{job['id']}/events", **headers)
        self._parts = iter(self.answer.streaming_content)

    def __enter__(self) -> "Stream":  # noqa: PYI034  (Self came with Python 3.11)
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()

    def next(self) -> tuple[str, dict[str, Any]]:
        for part in self._parts:
            fields = dict(line.split(": ", 1) for line in part.decode().split("\n") if ": " in line)
            if fields.get("event") == "job":
                return fields["id"], json.loads(fields["data"])
        raise AssertionError("the stream ended")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_watcher")
class TestStreams:
    """Streams that are open."""

    def test_hear_of_a_host_that_goes_and_comes(self, as_alice: Api, gpu1: Executor) -> None:
        host(gpu1)
        with Stream(as_alice, as_alice.submit()) as stream:
            assert stream.next()[1]["waiting_for"] == "turn"
            silent(gpu1, minutes=1)
            gone, job = stream.next()
            assert job["waiting_for"] == "no-executor"
            assert job["no_executor_since"]
            host(gpu1)
            assert stream.next()[1]["waiting_for"] == "turn"
        host(gpu1)
        with Stream(as_alice, job, Last_Event_ID=gone) as stream:  # it was away meanwhile
            assert stream.next()[1]["waiting_for"] == "turn"

    def test_say_nothing_twice(
        self, as_alice: Api, gpu1: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.api.v1.events.COMMENT_SECONDS", 0.2)
        job = as_alice.submit()
        with Stream(as_alice, job) as stream:
            known, _ = stream.next()
            assert [next(stream._parts) for _ in range(8)] == [b":\n\n"] * 8
        with Stream(as_alice, job, Last_Event_ID=known) as stream:
            assert next(stream._parts) == b":\n\n"

    def test_hear_that_fewer_end_first(
        self, as_alice: Api, as_bob: Api, gpu1: Executor, as_gpu1: Api
    ) -> None:
        host(gpu1)
        as_bob.submit()
        claimed = as_gpu1.claim()
        as_gpu1.beat(claimed, "executing")
        with Stream(as_alice, as_alice.submit()) as stream:
            _, job = stream.next()
            assert (job["queue_position"], job["jobs_before"]) == (1, 1)
            as_gpu1.finish(claimed)
            _, job = stream.next()
            assert (job["queue_position"], job["jobs_before"]) == (1, 0)

    def test_hear_what_is_expected_once_it_is_known(
        self, as_alice: Api, bob: User, gpu1: Executor
    ) -> None:
        host(gpu1)
        with Stream(as_alice, as_alice.submit()) as stream:
            assert stream.next()[1]["expected_start"] is None
            ran(bob, gpu1, 5, 1.0, 5.0)
            assert stream.next()[1]["expected_start"] is not None


# --- With a real server ----------------------------------------------------------------------


def events_of(world: World, user: Path, job: int) -> list[dict[str, Any]]:
    """The job as its events show it, as they come."""
    told: list[dict[str, Any]] = []

    def read() -> None:
        token = json.loads(user.read_text())["token"]
        with world.connection() as connection:
            headers = {"Authorization": f"Bearer {token}"}
            connection.request("GET", f"/api/v1/jobs/{job}/events", headers=headers)
            lines = connection.getresponse()
            told.extend(json.loads(line[6:]) for line in lines if line.startswith(b"data: "))

    threading.Thread(target=read, daemon=True).start()
    wait_for(lambda: told, "the first event")
    return told


@pytest.mark.hardening
@pytest.mark.end_to_end
@pytest.mark.long(15)
def test_students_are_told_of_a_dead_host_without_looking_themselves(
    world: World, tmp_path: Path
) -> None:
    """As if a thousand waited: none looks by itself, and still each is told within the lease."""
    users, gpu = [world.user(name) for name in ("alice", "bob")], world.executor("gpu1")
    never = "MINIMUM_LOOK_SECONDS = 1000.0"
    world.start_server(
        TELERUN_LEASE_SECONDS=6, TELERUN_WORKERS=2,
        **changed(tmp_path, "foundation.serving.waiters", never),
    )  # fmt: skip
    about = {"offers": {"cuda": 1}, "languages": LANGUAGES}

    def is_heard_of() -> None:
        assert world.request(gpu, "PUT", "/executor", about)[0] == 204

    is_heard_of()
    for user in users:
        assert world.request(user, "POST", "/jobs", {"source": "x"})[0] == 201
    streams = [events_of(world, user, number) for number, user in enumerate(users, start=1)]
    assert [told[-1]["waiting_for"] for told in streams] == ["turn", "turn"]
    for word in ("no-executor", "turn"):
        for told in streams:
            wait_for(lambda told=told, word=word: told[-1]["waiting_for"] == word, word)
        is_heard_of()
    for user, number in zip(users, (1, 2), strict=True):
        world.request(user, "POST", f"/jobs/{number}/cancel")


@pytest.mark.hardening
@pytest.mark.end_to_end
def test_a_host_that_is_killed_and_started_again(world: World) -> None:
    alice, gpu = world.user("alice"), world.executor("gpu1")
    world.start_server(TELERUN_LEASE_SECONDS=6, TELERUN_WORKERS=1)  # each looks for itself
    stub = fake_nvcc(world.folder, "sleep 600")
    executor = world.start_executor(gpu, nvcc=stub)
    wait_for(lambda: world.request(alice, "GET", "/queue")[2]["platforms"], "the host is there")
    executor.kill()
    world.request(alice, "POST", "/jobs", {"source": "x"})

    def shown() -> dict[str, Any]:
        return world.request(alice, "GET", "/jobs/1")[2]

    wait_for(lambda: shown()["no_executor_since"], "it is said since when it is gone")
    assert shown()["waiting_for"] == "no-executor"
    world.start_executor(gpu, nvcc=stub)
    wait_for(lambda: shown()["state"] == "running", "it is back")
