"""The API for executors: each endpoint, and each time the outsider and the wrong kind of token."""

from typing import Any

import pytest

from accounts.models import Executor
from jobs.models import Attempt, Job
from tests.support.api import SOURCE, Api, problem

ENDPOINTS = [
    ("PUT", "/executor", {}),
    ("POST", "/claims", {}),
    ("POST", "/attempts/1/heartbeat", {"lease_token": "x", "phase": "executing"}),
    ("PUT", "/attempts/1/result", {"lease_token": "x", "outcome": "succeeded"}),
    ("POST", "/attempts/1/release", {"lease_token": "x", "reason": "y"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)
def test_outsiders_and_users_do_not_get_in(
    method: str, path: str, body: Any, nobody: Api, as_alice: Api
) -> None:
    as_alice.submit()
    assert problem(nobody.request(method, path, body)) == (401, "not-authenticated")
    assert problem(as_alice.request(method, path, body)) == (403, "wrong-token-kind")
    assert Job.objects.get().state == "queued"


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS[2:])
def test_another_executors_attempt_is_not_found(
    method: str, path: str, body: Any, as_alice: Api, as_gpu1: Api, as_gpu2: Api
) -> None:
    as_alice.submit()
    attempt = as_gpu1.claim()["attempt"]
    path = path.replace("1", str(attempt["id"]), 1)
    body = {**body, "lease_token": attempt["lease_token"]}
    assert problem(as_gpu2.request(method, path, body)) == (404, "not-found")
    assert as_gpu1.request(method, path, body).status_code == 200


def test_a_claim_brings_all_that_is_needed(as_alice: Api, as_gpu1: Api, settings) -> None:
    job = as_alice.submit(SOURCE, filename="a.cu", args=["x"])
    answer = as_gpu1.post("/claims", {"nvcc": "13.0"})
    assert answer.status_code == 201
    claimed = answer.json()
    assert set(claimed["attempt"]) >= {"id", "lease_token", "lease_seconds"}
    assert claimed["job"] == {
        "id": job["id"],
        "source": SOURCE,
        "filename": "a.cu",
        "args": ["x"],
        "limits": settings.TELERUN_LIMITS,
    }
    assert Executor.objects.get().about == {"nvcc": "13.0"}
    assert Executor.objects.get().last_seen_at


def test_an_executor_tells_of_itself_without_a_claim(as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    about = {"gpus": [{"index": "0", "condition": "quarantined", "reason": "Xid 79"}]}
    assert as_gpu1.put("/executor", about).status_code == 204
    executor = Executor.objects.get()
    assert executor.about == about
    assert [(gpu.index, gpu.reason) for gpu in executor.quarantined_gpus] == [("0", "Xid 79")]
    assert executor.is_alive
    assert Job.objects.get().state == "queued"
    assert problem(as_gpu1.put("/executor", [1])) == (400, "malformed-request")


def test_no_job_is_204_and_an_empty_body_will_do(as_gpu1: Api) -> None:
    for body in ({}, None):
        answer = as_gpu1.post("/claims", body)
        assert (answer.status_code, answer.content) == (204, b"")


def test_the_same_key_brings_the_same_attempt(as_alice: Api, as_bob: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    as_bob.submit()
    first = as_gpu1.claim(Idempotency_Key="k")
    assert as_gpu1.claim(Idempotency_Key="k") == first
    assert as_gpu1.claim(Idempotency_Key="l")["job"]["id"] != first["job"]["id"]
    assert Attempt.objects.count() == 2


def test_a_disabled_executor_is_told_so(as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    Executor.objects.update(enabled=False)
    answer = as_gpu1.post("/claims", {})
    assert problem(answer) == (403, "executor-disabled")
    assert int(answer["Retry-After"]) > 0


def test_heartbeat(as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    claimed = as_gpu1.claim()
    answer = as_gpu1.beat(claimed, "waiting")
    assert answer.json() == {"lease_seconds": 30, "cancel_requested": False, "watched": False}
    assert Job.objects.get().phase == "waiting"
    claimed["attempt"]["lease_token"] = "other"
    assert problem(as_gpu1.beat(claimed)) == (409, "lease-lost")


def test_result_once_twice_and_another(as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    claimed = as_gpu1.claim()
    assert as_gpu1.finish(claimed, execute_log="x").status_code == 200
    assert as_gpu1.finish(claimed, execute_log="x").status_code == 200
    assert problem(as_gpu1.finish(claimed, execute_log="y")) == (409, "result-conflict")
    assert problem(as_gpu1.beat(claimed)) == (409, "lease-lost")
    assert Attempt.objects.count() == 1


def test_after_a_release_the_lease_is_lost(as_alice: Api, as_gpu1: Api, as_gpu2: Api) -> None:
    as_alice.submit()
    old = as_gpu1.claim()
    assert as_gpu1.release(old).status_code == 200
    new = as_gpu2.claim()
    assert problem(as_gpu1.finish(old)) == (409, "lease-lost")
    assert as_gpu2.finish(new).status_code == 200
    assert problem(as_gpu1.finish(old)) == (409, "lease-lost")


def test_a_release_says_whether_it_counts(as_alice: Api, as_gpu1: Api) -> None:
    job = as_alice.submit()["id"]
    for counts, left in ((False, 3), (True, 2), (None, 1)):
        attempt = as_gpu1.claim()["attempt"]
        body = {"lease_token": attempt["lease_token"], "reason": "why"}
        body |= {} if counts is None else {"counts": counts}
        assert as_gpu1.post(f"/attempts/{attempt['id']}/release", body).status_code == 200
        assert Job.objects.get(pk=job).attempts_left == left


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"no final newline",
        b"\x00\x01\x1b[31m\r\n",
        bytes(range(256)),
        "ü€😀".encode(),
        b"\xed\xa0\x80 \xff",
        b"\xf0\x9f\x98",
    ],
)
def test_logs_are_carried_byte_for_byte(log: bytes, as_alice: Api, as_gpu1: Api) -> None:
    job = as_alice.submit()
    text = log.decode("utf-8", "surrogateescape")
    assert as_gpu1.finish(as_gpu1.claim(), execute_log=text).status_code == 200
    shown = as_alice.get(f"/jobs/{job['id']}").json()["result"]["execute_log"]
    assert shown.encode("utf-8", "surrogateescape") == log
    assert bytes(Attempt.objects.get().execute_log) == log


def test_what_else_a_result_tells_is_kept_fit_for_every_database(
    as_alice: Api, as_gpu1: Api
) -> None:
    job = as_alice.submit()
    answer = as_gpu1.finish(as_gpu1.claim(), gpu={"name": "a\0b\ud800", "n": [1, 1e999]})
    assert answer.status_code == 200
    details = as_alice.get(f"/jobs/{job['id']}").json()["result"]["details"]
    assert details == {"gpu": {"name": "a\ufffdb?", "n": [1, None]}}


@pytest.mark.parametrize(
    "members",
    [
        {"outcome": "nonsense"},
        {"outcome": None},
        {"lease_token": 5},
        {"compile_log": 5},
        {"compile_log": "\ud800"},
        {"execute_log": None},
        {"exit_code": "x"},
        {"exit_code": 2**31},
        {"signal": 0},
        {"signal": 65},
        {"compile_seconds": -1},
        {"compile_seconds": 1e999},
        {"execute_seconds": "x"},
        {"gpu": "x" * 70_000},
    ],
)
def test_a_result_of_the_wrong_shape_is_refused(
    members: dict[str, Any], as_alice: Api, as_gpu1: Api
) -> None:
    as_alice.submit()
    claimed = as_gpu1.claim()
    assert problem(as_gpu1.finish(claimed, **members)) == (400, "invalid-request")
    assert Job.objects.get().state == "running"
    assert as_gpu1.finish(claimed).status_code == 200


@pytest.mark.parametrize("body", [[], "x", 5, {}, {"lease_token": "x"}, {"reason": "y"}])
def test_other_reports_of_the_wrong_shape_are_refused(
    body: Any, as_alice: Api, as_gpu1: Api
) -> None:
    as_alice.submit()
    attempt = as_gpu1.claim()["attempt"]
    for what in ("heartbeat", "release"):
        assert problem(as_gpu1.post(f"/attempts/{attempt['id']}/{what}", body))[0] == 400
    assert problem(as_gpu1.put(f"/attempts/{attempt['id']}/result", body))[0] == 400


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"5", b"{", b'{"a": "' + b"x" * 70_000 + b'"}'])
def test_a_claim_of_the_wrong_shape_is_refused(body: bytes, as_alice: Api, as_gpu1: Api) -> None:
    as_alice.submit()
    assert problem(as_gpu1.post("/claims", body))[0] == 400
    assert Job.objects.get().state == "queued"
