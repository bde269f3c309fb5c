"""Platforms: what hosts offer, what jobs ask for, whose turn it is on each, who is woken."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import executors, platforms
from accounts.models import Executor, Platform, Turn, User
from foundation.serving import waiters, waiting
from foundation.serving.feeds import Change
from jobs import claiming, errors, placing, submitting
from jobs.models import AuditEntry, Job
from jobs.submitting import Submission
from tests.support.admin import browser, staff
from tests.support.api import Api, problem

BIG = {"cuda": 2, "h100": 2, "cpu": 4}


def host(executor: Executor, offers: Any, languages: Any = ("cuda", "cpp", "python")) -> Executor:
    executors.seen(executor, {"offers": offers, "languages": list(languages)})
    executor.refresh_from_db()
    return executor


def served(executor: Executor, *free: str, languages: Any = ("cuda", "cpp", "python")) -> str:
    """Whose job the executor gets that has a slot of these platforms free; "" for nobody's."""
    service = platforms.service(executor, dict.fromkeys(free, 1), list(languages))
    attempt = claiming.claim(executor, service=service)
    return attempt.job.user.username if attempt else ""


def submit(user: User, platform: str = "", filename: str = "a.cu") -> Job:
    return submitting.submit(user, Submission("x", filename, platform=platform))[0]


@pytest.fixture(autouse=True)
def several(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 10


# --- What jobs ask for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "platform"),
    [("a.cu", "cuda"), ("a.cpp", "cpu"), ("a.CC", "cpu"), ("a.c", "cpu"), ("a.py", "cpu")],
)
def test_without_a_word_the_files_ending_decides(
    alice: User, gpu1: Executor, filename: str, platform: str
) -> None:
    host(gpu1, BIG)
    assert submit(alice, filename=filename).platform == platform


def test_without_cpu_hosts_a_cpp_file_goes_to_a_gpu_host(alice: User, gpu1: Executor) -> None:
    assert submit(alice, filename="a.cpp").platform == "cuda"  # before any host has come
    host(gpu1, {"cuda": 1})
    assert submit(alice, filename="a.cpp").platform == "cuda"


def test_an_unknown_platform_is_refused_with_those_that_there_are(
    as_alice: Api, gpu1: Executor
) -> None:
    answer = as_alice.post("/jobs", {"source": "x", "platform": "h100"})
    assert problem(answer) == (422, "unknown-platform")
    assert answer.json()["detail"] == "No host offers the platform h100; no host has come yet."
    host(gpu1, {"cuda": 1, "l4": 1})
    answer = as_alice.post("/jobs", {"source": "x", "platform": "h100"})
    assert answer.json()["detail"] == "No host offers the platform h100; there is cuda, l4."


def test_a_language_that_no_host_of_the_platform_knows_is_refused(
    alice: User, gpu1: Executor, gpu2: Executor
) -> None:
    host(gpu1, {"cuda": 1}, ["cuda", "cpp"])
    with pytest.raises(errors.UnknownPlatform, match="No host offers the platform cpu"):
        submit(alice, filename="a.py")
    host(gpu2, {"cpu": 1}, ["cpp"])
    with pytest.raises(errors.UnknownPlatform, match="No host of the platform cpu runs Python"):
        submit(alice, filename="a.py")
    with pytest.raises(errors.UnknownPlatform, match="cpu runs CUDA programs; cuda do"):
        submit(alice, "cpu", "a.cu")


def test_a_job_waits_for_a_host_that_was_there_lately(as_alice: Api, gpu1: Executor) -> None:
    host(gpu1, {"h100": 1})
    asks = {"source": "x", "platform": "h100"}
    job = as_alice.post("/jobs", asks).json()
    assert job["waiting_for"] == "turn"
    Executor.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    assert as_alice.get(f"/jobs/{job['id']}").json()["waiting_for"] == "no-executor"
    assert as_alice.post("/jobs", asks).status_code == 201
    Executor.objects.update(last_seen_at=timezone.now() - timedelta(days=8))
    assert problem(as_alice.post("/jobs", asks)) == (422, "unknown-platform")


def test_a_host_that_offers_less_than_before_keeps_what_waits(
    as_alice: Api, gpu1: Executor
) -> None:
    host(gpu1, {"cuda": 1, "h100": 1})
    job = as_alice.post("/jobs", {"source": "x", "platform": "h100"}).json()
    host(gpu1, {"cuda": 1})
    assert as_alice.get(f"/jobs/{job['id']}").json()["waiting_for"] == "no-executor"
    assert served(gpu1, "cuda") == ""
    host(gpu1, {"cuda": 1, "h100": 1})
    assert served(gpu1, "cuda", "h100") == "alice"


def test_a_job_that_is_not_queued_waits_for_nothing(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    assert placing.waits_for(job) == "no-executor"
    claiming.claim(gpu1)
    job.refresh_from_db()
    assert placing.waits_for(job) is None


# --- What hosts offer --------------------------------------------------------------------


@pytest.mark.parametrize(
    "offers",
    [None, 5, "cuda", ["cuda"], {"cuda": "1"}, {"cuda": -1}, {"cuda": True}, {"../x": 1},
     {"A B": 1}, {"x" * 41: 1}, {"": 1}],
)  # fmt: skip
def test_a_malformed_report_offers_nothing(gpu1: Executor, offers: Any) -> None:
    host(gpu1, offers)
    assert not Platform.objects.exists()


@pytest.mark.parametrize(
    "free", [5, "cuda", ["cuda"], {"cuda": "1"}, {"cuda": -1}, {"cuda": True},
             {f"p{n}": 1 for n in range(65)}],
)  # fmt: skip
def test_malformed_free_slots_are_refused_in_words(as_gpu1: Api, free: Any) -> None:
    answer = as_gpu1.post("/claims", {"offers": BIG, "platforms": free})
    assert problem(answer) == (400, "malformed-request")
    assert "platforms" in answer.json()["detail"]


def test_a_claim_without_a_free_slot_gets_nothing(as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    for free in ({}, {"cuda": 0}, {"cpu": 1}):
        body = {"offers": BIG, "languages": ["cuda"], "platforms": free}
        assert as_gpu1.post("/claims", body).status_code == 204


def test_free_slots_are_no_part_of_what_is_kept(as_gpu1: Api) -> None:
    as_gpu1.post("/claims", {"offers": BIG, "platforms": {"cuda": 1}})
    assert Executor.objects.get(name="gpu1").about == {"offers": BIG}


def test_staff_rename_and_restrict_and_no_report_overwrites_it(alice: User, gpu1: Executor) -> None:
    host(gpu1, {"cuda": 1, "rtx4000-ada": 1})
    gpu1.platforms.filter(reported="rtx4000-ada").update(name="ada")
    host(gpu1, {"cuda": 2, "rtx4000-ada": 2})
    assert submit(alice, "ada").platform == "ada"
    with pytest.raises(errors.UnknownPlatform):
        submit(alice, "rtx4000-ada")
    service = platforms.service(gpu1, {"rtx4000-ada": 1}, ["cuda"])
    assert service.names == {"ada": "rtx4000-ada"}
    attempt = claiming.claim(gpu1, service=service)
    assert attempt.job.platform == "ada"
    gpu1.platforms.filter(reported="cuda").update(enabled=False)
    assert placing.waits_for(submit(alice, "cuda")) == "no-executor"
    assert served(gpu1, "cuda") == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_watcher")
@pytest.mark.parametrize("change", [{"enabled": False}, {"name": "other"}])
def test_a_platform_that_staff_change_during_a_held_claim_gets_no_job_and_stops_no_other(
    as_alice: Api, as_gpu1: Api, gpu1: Executor, change: dict[str, Any]
) -> None:
    host(gpu1, {"cuda": 1, "h100": 1})
    for platform in ("h100", "cuda"):
        assert as_alice.post("/jobs", {"source": "x", "platform": platform}).status_code == 201

    def taken() -> list[str]:
        return list(Job.objects.exclude(state="queued").values_list("platform", flat=True))

    look = claiming.claim
    changed = []

    def claim(*arguments: Any) -> Any:  # the first look is over before staff change it
        if not changed:
            changed.append(gpu1.platforms.filter(reported="h100").update(**change))
            return None
        return look(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claiming, "claim", claim)
        patch.setattr(waiters, "MINIMUM_LOOK_SECONDS", 0.1)
        body = {"offers": {"cuda": 1, "h100": 1}, "languages": ["cuda"]}
        body["platforms"] = {"h100": 1, "cuda": 1}
        answer = as_gpu1.post("/claims", body, Prefer="wait=5")
    assert answer.json()["job"]["platform"] == "cuda"
    assert taken() == ["cuda"]


def test_two_kinds_of_one_name_are_told_apart_by_what_is_free(
    as_alice: Api, as_gpu1: Api, gpu1: Executor
) -> None:
    about = {"offers": {"h100": 1, "h200": 1}, "languages": ["cuda"]}
    as_gpu1.post("/claims", about)
    gpu1.platforms.update(name="hopper")
    for kind in ("h100", "h200"):
        as_alice.post("/jobs", {"source": "x", "platform": "hopper"})
        claim = as_gpu1.post("/claims", {**about, "platforms": {kind: 1}}).json()
        assert claim["job"]["platform"] == kind
    as_alice.post("/jobs", {"source": "x", "platform": "hopper"})
    about["offers"] = {"h200": 1}  # the other one was taken out
    claim = as_gpu1.post("/claims", {**about, "platforms": {"h200": 1}}).json()
    assert claim["job"]["platform"] == "h200"


def test_a_default_platform_is_one_whose_host_is_there(
    alice: User, gpu1: Executor, gpu2: Executor
) -> None:
    host(gpu1, {"cpu": 1})
    host(gpu2, {"cuda": 1})
    assert submit(alice, filename="a.cpp").platform == "cpu"
    Executor.objects.filter(pk=gpu1.pk).update(last_seen_at=timezone.now() - timedelta(days=6))
    assert submit(alice, filename="a.cpp").platform == "cuda"
    assert submit(alice, "cpu", "a.cpp").platform == "cpu"  # asked for: it waits


def test_what_waits_follows_a_platform_to_its_new_name(alice: User, gpu1: Executor) -> None:
    host(gpu1, {"h100": 1})
    job = submit(alice, "h100")
    client, url = browser(staff("ta")), f"/admin/accounts/executor/{gpu1.pk}/change/"
    form = {
        "name": "gpu1",
        "platforms-TOTAL_FORMS": 1,
        "platforms-INITIAL_FORMS": 1,
        "platforms-0-id": gpu1.platforms.get().pk,
        "platforms-0-executor": gpu1.pk,
        "platforms-0-name": "hopper",
        "platforms-0-enabled": "on",
    }
    assert client.post(url, form).status_code == 302
    job.refresh_from_db()
    assert (job.platform, placing.waits_for(job)) == ("hopper", "turn")
    entries = AuditEntry.objects.filter(username="ta").values_list("action", "job_id")
    assert ("platform-changed", job.pk) in entries
    assert client.post(url, {**form, "platforms-0-name": "Hopper x"}).status_code == 200  # refused


def test_an_executor_gets_jobs_in_languages_that_it_knows(alice: User, gpu1: Executor) -> None:
    host(gpu1, {"cpu": 1})
    submit(alice, filename="a.py")
    submit(alice, filename="a.cpp")
    assert served(gpu1, "cpu", languages=["cuda"]) == ""
    service = platforms.service(gpu1, {"cpu": 1}, ["cpp"])
    assert claiming.claim(gpu1, service=service).job.filename == "a.cpp"


# --- Whose turn it is --------------------------------------------------------------------


def test_turns_are_counted_on_each_platform(alice: User, bob: User, gpu1: Executor) -> None:
    """Who was just served on one is first in line on another."""
    host(gpu1, BIG)
    for user in (alice, bob):
        submit(user, "h100")
    assert [served(gpu1, "h100"), served(gpu1, "h100")] == ["alice", "bob"]
    for user in (bob, alice):
        submit(user, "cpu", "a.cpp")
    submit(bob, "h100")
    submit(alice, "h100")
    assert [served(gpu1, "cpu"), served(gpu1, "cpu")] == ["bob", "alice"]
    assert [served(gpu1, "h100"), served(gpu1, "h100")] == ["alice", "bob"]
    assert Turn.objects.count() == 4


def test_of_all_that_it_can_run_the_least_recently_served_comes_first(
    alice: User, bob: User, make_user: Callable[[str], User], gpu1: Executor
) -> None:
    host(gpu1, BIG)
    submit(alice, "h100")
    submit(bob, "cuda")
    assert served(gpu1, "h100", "cuda") == "alice"
    submit(alice, "h100")  # was served on h100
    submit(make_user("carol"), "cpu", "a.cpp")  # never was, but came later than bob
    assert [served(gpu1, "h100", "cuda", "cpu") for _ in range(4)] == ["bob", "carol", "alice", ""]


def test_a_place_is_among_those_that_wait_for_the_same_platform(
    as_alice: Api, as_bob: Api, gpu1: Executor
) -> None:
    host(gpu1, BIG)
    places = [
        as_alice.post("/jobs", {"source": "x", "platform": "h100"}).json()["queue_position"],
        as_bob.post("/jobs", {"source": "x", "platform": "cpu", "filename": "a.c"}).json()[
            "queue_position"
        ],
        as_bob.post("/jobs", {"source": "x", "platform": "h100"}).json()["queue_position"],
    ]
    assert places == [1, 1, 2]


def test_many_jobs_that_it_cannot_run_hide_none_that_it_can(
    alice: User, gpu1: Executor, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = settings.TELERUN_SUBMITS_PER_MINUTE = 100
    monkeypatch.setattr(claiming, "MAX_CANDIDATES", claiming.BATCH)
    host(gpu1, {"cpu": 1})
    for _ in range(3 * claiming.BATCH):
        submit(alice, "cpu", "a.py")
    submit(alice, "cpu", "a.cpp")
    service = platforms.service(gpu1, {"cpu": 1}, ["cpp"])
    assert claiming.claim(gpu1, service=service).job.filename == "a.cpp"


# --- Who is woken ------------------------------------------------------------------------


def test_who_is_woken_is_one_who_can_run_it() -> None:
    board = waiters.Waiters()
    cpu, big, small = (
        waiters.Waiter(waiters.QUEUE, None, None, names)
        for names in ({"cpu"}, {"cuda", "h100"}, {"cuda"})
    )
    with board.waiting(cpu), board.waiting(big), board.waiting(small):

        def woken() -> list[bool]:
            return [waiter.woken.is_set() for waiter in (cpu, big, small)]

        board.wake(Change(1, "h100"))
        assert woken() == [False, True, False]
        board.wake(Change(2, "cuda"))  # the big one looks for both, or the next is woken
        assert woken() == [False, True, True]
        board.wake(Change(3, "tpu"))
        assert woken() == [False, True, True]
        board.wake(Change(4, "cpu"))
        assert woken() == [True, True, True]


def test_who_was_woken_in_vain_wakes_another_for_the_same_platform() -> None:
    board = waiters.Waiters()
    one, cpu, two = (
        waiters.Waiter(waiters.QUEUE, None, None, names) for names in ({"cuda"}, {"cpu"}, {"cuda"})
    )
    with board.waiting(one), board.waiting(cpu), board.waiting(two):
        board.wake(Change(1, "cuda"))
        board.pass_on(board.begins_to_look(one))
        assert [cpu.woken.is_set(), two.woken.is_set()] == [False, True]


def test_who_was_woken_for_one_and_takes_another_wakes_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CPU job comes, and wakes a host of both; then a job for its GPU, which it takes."""
    board = waiters.Waiters()
    monkeypatch.setattr(waiting, "_waiters", board)
    both = waiters.Waiter(waiters.QUEUE, None, None, {"cuda", "cpu"})
    cpu = waiters.Waiter(waiters.QUEUE, None, None, {"cpu"})
    with board.waiting(both), board.waiting(cpu):
        board.wake(Change(1, "cpu"))
        board.wake(Change(2, "cuda"))
        assert [both.woken.is_set(), cpu.woken.is_set()] == [True, False]
        assert waiting.Wait(both).look(lambda: "cuda") == "cuda"
        assert cpu.woken.is_set()
        waiting.Wait(cpu).look(lambda: "cpu")
        assert not both.woken.is_set()
