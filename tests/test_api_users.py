"""The API for users: each endpoint, and each time the outsider and the wrong kind of token."""

import gc
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import User
from foundation import parsers
from jobs import staff
from jobs.models import Job
from tests.support.api import SOURCE, Api, problem

ENDPOINTS = [
    ("POST", "/jobs"),
    ("GET", "/jobs"),
    ("GET", "/jobs/1"),
    ("GET", "/jobs/1/source"),
    ("POST", "/jobs/1/cancel"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_outsiders_and_executors_do_not_get_in(
    method: str, path: str, nobody: Api, as_gpu1: Api
) -> None:
    body = {"source": SOURCE} if method == "POST" else None
    assert problem(nobody.request(method, path, body)) == (401, "not-authenticated")
    assert problem(as_gpu1.request(method, path, body)) == (403, "wrong-token-kind")
    assert not Job.objects.exists()


def test_submit_answers_with_the_job_and_where_it_is(as_alice: Api) -> None:
    answer = as_alice.post("/jobs", {"source": SOURCE, "filename": "a.cu", "args": ["1", ""]})
    assert answer.status_code == 201
    job = answer.json()
    assert answer["Location"] == f"/api/v1/jobs/{job['id']}"
    assert answer["ETag"]
    assert {k: job[k] for k in ("state", "phase", "outcome", "queue_position", "result")} == {
        "state": "queued",
        "phase": None,
        "outcome": None,
        "queue_position": 1,
        "result": None,
    }
    assert (job["filename"], job["args"], job["attempts"]) == ("a.cu", ["1", ""], [])
    assert job["submitted_at"].endswith("Z")
    for key in ("started_at", "finished_at", "executor", "cancel_requested_at"):
        assert job[key] is None


def test_a_second_queued_job_is_refused_or_replaces_the_first(as_alice: Api) -> None:
    first = as_alice.submit()
    answer = as_alice.post("/jobs", {"source": SOURCE})
    assert problem(answer) == (409, "pending-job")
    assert answer.json()["job"] == first["id"]
    second = as_alice.post("/jobs?override_pending=1", {"source": SOURCE})
    assert second.status_code == 201
    assert as_alice.get(f"/jobs/{first['id']}").json()["state"] == "cancelled"


def test_the_same_key_and_body_are_the_same_job(as_alice: Api) -> None:
    answers = [as_alice.post("/jobs", {"source": SOURCE}, Idempotency_Key="k") for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = as_alice.post("/jobs", {"source": SOURCE + " "}, Idempotency_Key="k")
    assert problem(other) == (422, "idempotency-key-reused")
    assert problem(as_alice.post("/jobs", {"source": SOURCE}, Idempotency_Key="k" * 256))[0] == 400


def test_a_source_over_one_mebibyte_of_utf8_is_too_large(as_alice: Api) -> None:
    fits = "é" * (512 * 1024)
    assert as_alice.post("/jobs", {"source": fits}).status_code == 201
    answer = as_alice.post("/jobs?override_pending=1", {"source": fits + "x"})
    assert problem(answer) == (413, "source-too-large")
    assert Job.objects.get().state == "queued"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        [1],
        "text",
        5,
        None,
        {"source": ""},
        {"source": "  \n"},
        {"source": 5},
        {"source": None},
        {"source": ["x"]},
        {"source": "a\0b"},
        {"source": "a\ud800b"},
        {"source": SOURCE, "filename": 5},
        {"source": SOURCE, "filename": ""},
        {"source": SOURCE, "filename": "../b.cu"},
        {"source": SOURCE, "filename": "a\nb.cu"},
        {"source": SOURCE, "filename": "a" * 256},
        {"source": SOURCE, "args": "x"},
        {"source": SOURCE, "args": [1]},
        {"source": SOURCE, "args": [None]},
        {"source": SOURCE, "args": ["a\0"]},
        {"source": SOURCE, "args": ["x"] * 101},
        {"source": SOURCE, "args": ["x" * 4097]},
        {"source": SOURCE, "args": {"a": 1}},
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_in_words(body: object, as_alice: Api) -> None:
    status, slug = problem(as_alice.post("/jobs", body))
    assert (status, slug) in ((400, "invalid-request"), (415, "unsupported-media-type"))
    assert not Job.objects.exists()


def test_a_long_list_of_bad_arguments_gets_a_short_answer(as_alice: Api) -> None:
    answer = as_alice.post("/jobs", {"source": SOURCE, "args": [[]] * 100_000})
    assert problem(answer) == (400, "invalid-request")
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"\xff", b'{"source": NaN}', b"[" * 100_000, b'{"a":' * 3000 + b"1" + b"}" * 3000],
)
def test_what_is_not_json_is_refused_in_words(body: bytes, as_alice: Api) -> None:
    status, _ = problem(as_alice.post("/jobs", body))
    assert status == 400
    assert not Job.objects.exists()


def test_other_media_types_are_refused(as_alice: Api) -> None:
    answer = as_alice.request("POST", "/jobs", b"source=x", content_type="text/plain")
    assert problem(answer) == (415, "unsupported-media-type")


def test_a_body_larger_than_any_honest_one_is_refused(as_alice: Api, settings) -> None:
    settings.TELERUN_MAX_BODY_BYTES = 100
    assert problem(as_alice.post("/jobs", b" " * 101)) == (413, "body-too-large")


def test_bodies_that_one_bearer_sends_at_once_are_bounded(
    as_alice: Api, as_bob: Api, alice: User, settings: Any
) -> None:
    settings.TELERUN_MAX_BODY_BYTES = 100
    one = SimpleNamespace(user=alice, META={"CONTENT_LENGTH": "90"})
    with (
        parsers.reserved_for_json(one),
        parsers.reserved_for_json(one),
    ):  # two of hers are on their way
        answer = as_alice.post("/jobs", {"source": SOURCE})
        assert problem(answer) == (429, "too-many-requests")
        assert answer["Retry-After"] == "2"
        as_bob.submit()
    as_alice.submit()
    assert not parsers._bodies._taken


@pytest.mark.parametrize("status", [201, 400])
def test_what_a_body_became_is_gone_with_its_answer(as_alice: Api, status: int) -> None:
    """And not only when Python next looks for reference cycles, which it does seldom."""
    arguments = [f"unlikely {number}" for number in range(20)]
    source = SOURCE if status == 201 else [arguments]
    gc.disable()
    try:
        answer = as_alice.post("/jobs", {"source": source, "args": arguments})
        assert answer.status_code == status
        vars(answer).clear()  # the test's client makes cycles of its own
        lists = [one for one in gc.get_objects() if type(one) is list and one is not arguments]
        left = [one for one in lists if one == arguments]
    finally:
        gc.enable()
    assert left == []


def test_ones_own_jobs_newest_first_in_pages(as_alice: Api, as_bob: Api, settings) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 10
    ids = [as_alice.submit()["id"] for _ in range(3)]
    as_bob.submit()
    page = as_alice.get("/jobs").json()
    assert [job["id"] for job in page["results"]] == ids[::-1]
    assert page["count"] == 3
    page = as_alice.get("/jobs?limit=1&offset=1").json()
    assert [job["id"] for job in page["results"]] == [ids[1]]
    assert page["next"]
    for query in ("limit=999999999999999999999", "offset=999999999999999999999"):
        assert as_alice.get(f"/jobs?{query}").status_code == 200


def test_a_list_says_how_long_programs_ran(as_alice: Api, every_state: dict[str, Job]) -> None:
    page = as_alice.get("/jobs").json()["results"]
    ran = {job["id"]: job["execute_seconds"] for job in page}
    seconds = every_state["finished"].attempts.get().execute_seconds
    assert ran[every_state["finished"].pk] == seconds
    for state in ("queued", "running", "cancelled", "failed"):
        assert ran[every_state[state].pk] is None


def test_what_was_submitted(as_alice: Api, as_bob: Api) -> None:
    files = {"sources": {"k.cu": "int k;"}, "includes": {"sub/a.h": "int a; // \u00fc"}}
    job = as_alice.post("/jobs", {"source": SOURCE, "filename": "a.cu", **files}).json()["id"]
    told = as_alice.get(f"/jobs/{job}/source")
    assert told.json() == {"filename": "a.cu", "source": SOURCE, **files}
    assert problem(as_bob.get(f"/jobs/{job}/source")) == (404, "not-found")
    assert problem(as_alice.get("/jobs/999/source")) == (404, "not-found")


def test_a_large_source_comes_back_whole(as_alice: Api) -> None:
    large = "x" * 300_000 + "\u20ac" * 100_000
    job = as_alice.post("/jobs", {"source": large}).json()["id"]
    assert as_alice.get(f"/jobs/{job}/source").json()["source"] == large


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=", "limit=0", "limit=1.5", "limit=٣", "offset=-1"]
)
def test_a_page_that_is_no_number_is_refused(as_alice: Api, query: str) -> None:
    answer = as_alice.get(f"/jobs?{query}")
    assert problem(answer) == (400, "invalid-request")
    assert "whole number" in answer.json()["detail"]


def test_a_switch_is_on_or_off(as_alice: Api) -> None:
    first = as_alice.submit()
    for value, expected in (("maybe", 400), ("0", 409), ("", 409), ("false", 409), ("true", 201)):
        answer = as_alice.post(f"/jobs?override_pending={value}", {"source": SOURCE})
        assert answer.status_code == expected, value
    assert as_alice.get(f"/jobs/{first['id']}").json()["state"] == "cancelled"


def test_an_etag_is_compared_as_http_says(as_alice: Api) -> None:
    """RFC 9110, 13.1.2: weak comparison, lists, and `*` for whatever is there."""
    path = f"/jobs/{as_alice.submit()['id']}"
    etag = as_alice.get(path)["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*", f'"other" , W/{etag}'):
        answer = as_alice.get(path, If_None_Match=known)
        assert (answer.status_code, answer["ETag"]) == (304, etag), known
        assert not answer.content
    for other in ('"other"', "nonsense", "", etag.strip('"')):
        assert as_alice.get(path, If_None_Match=other).status_code == 200, other


def test_somebody_elses_job_is_not_found_like_one_that_never_was(
    as_alice: Api, as_bob: Api
) -> None:
    theirs = as_bob.submit()["id"]
    for job_id in (theirs, 999, 10**30):
        assert problem(as_alice.get(f"/jobs/{job_id}")) == (404, "not-found")
        assert problem(as_alice.post(f"/jobs/{job_id}/cancel")) == (404, "not-found")
    assert as_bob.get(f"/jobs/{theirs}").json()["state"] == "queued"


def test_cancel_a_queued_job(as_alice: Api) -> None:
    job = as_alice.submit()
    answer = as_alice.post(f"/jobs/{job['id']}/cancel")
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["finished_at"]
    assert problem(as_alice.post(f"/jobs/{job['id']}/cancel")) == (409, "already-over")


def test_cancel_a_running_job(as_alice: Api, as_gpu1: Api) -> None:
    job = as_alice.submit()
    claimed = as_gpu1.claim()
    answer = as_alice.post(f"/jobs/{job['id']}/cancel")
    assert answer.status_code == 200
    assert answer.json()["state"] == "running"
    assert answer.json()["cancel_requested_at"]
    assert as_gpu1.beat(claimed).json()["cancel_requested"] is True
    as_gpu1.release(claimed, "it was cancelled")
    assert as_alice.get(f"/jobs/{job['id']}").json()["state"] == "cancelled"


def test_a_finished_job_shows_its_result_and_its_history(as_alice: Api, as_gpu1: Api) -> None:
    job_id = as_alice.submit()["id"]
    as_gpu1.release(as_gpu1.claim(), "the host was stopped")
    claimed = as_gpu1.claim()
    as_gpu1.beat(claimed, "executing")
    running = as_alice.get(f"/jobs/{job_id}").json()
    assert (running["state"], running["phase"], running["executor"]) == (
        "running",
        "executing",
        "gpu1",
    )
    as_gpu1.finish(
        claimed,
        outcome="runtime_error",
        compile_log="warning\n",
        execute_log="out",
        exit_code=3,
        compile_seconds=1.5,
        execute_seconds=0.25,
        nvcc="13.0",
    )
    job = as_alice.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["outcome"], job["phase"]) == ("finished", "runtime_error", None)
    assert job["result"] == {
        "compile_log": "warning\n",
        "execute_log": "out",
        "exit_code": 3,
        "signal": None,
        "compile_seconds": 1.5,
        "execute_seconds": 0.25,
        "files": [],
        "details": {"nvcc": "13.0"},
    }
    history = [(a["number"], a["executor"], a["ending"], a["reason"]) for a in job["attempts"]]
    assert history == [
        (1, "gpu1", "released", "the host was stopped"),
        (2, "gpu1", "finished", ""),
    ]


def test_unknown_addresses_and_methods_are_problems_too(as_alice: Api) -> None:
    assert problem(as_alice.get("/nothing")) == (404, "not-found")
    assert problem(as_alice.put("/jobs", {})) == (405, "method-not-allowed")


# --- Members that say what became of it --------------------------------------------------


def test_a_job_that_made_way_says_for_which(as_alice: Api, as_bob: Api) -> None:
    first = as_alice.submit()
    second = as_alice.post("/jobs?override_pending=1", {"source": SOURCE}).json()
    third = as_alice.post("/jobs?override_pending=1", {"source": SOURCE}).json()
    shown = {job["id"]: as_alice.get(f"/jobs/{job['id']}").json() for job in (first, second, third)}
    assert [job["replaced_by"] for job in shown.values()] == [second["id"], third["id"], None]
    events = b"".join(as_alice.get(f"/jobs/{first['id']}/events").streaming_content).decode()
    assert f'"replaced_by":{second["id"]}' in events.replace('": ', '":')
    as_alice.post(f"/jobs/{third['id']}/cancel")
    assert as_alice.get(f"/jobs/{third['id']}").json()["replaced_by"] is None
    assert problem(as_bob.get(f"/jobs/{first['id']}")) == (404, "not-found")


def test_a_replaced_job_that_staff_had_run_again_is_not_replaced_any_more(as_alice: Api) -> None:
    first = as_alice.submit()
    as_alice.post("/jobs?override_pending=1", {"source": SOURCE})
    staff.requeue(first["id"], "ta")
    assert as_alice.get(f"/jobs/{first['id']}").json()["replaced_by"] is None
    as_alice.post(f"/jobs/{first['id']}/cancel")
    assert as_alice.get(f"/jobs/{first['id']}").json()["replaced_by"] is None


@pytest.mark.parametrize(
    ("report", "cached"),
    [
        ({"compile_seconds": 1.5}, False),
        ({"compile_seconds": 0.01, "compiled_before": True}, True),
        ({"compile_seconds": 0.0, "python": "3.12"}, None),
        ({}, None),
    ],
)
def test_whether_a_program_was_compiled_before(
    report: dict[str, Any], cached: bool | None, as_alice: Api, as_gpu1: Api
) -> None:
    job = as_alice.submit()
    assert job["cached"] is None
    assert as_gpu1.finish(as_gpu1.claim(), **report).status_code == 200
    assert as_alice.get(f"/jobs/{job['id']}").json()["cached"] is cached


def test_how_many_wait_and_how_long_a_program_may_take(
    as_alice: Api, as_bob: Api, as_gpu1: Api, settings: Any
) -> None:
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "execute_seconds": 7}
    assert as_alice.submit()["queue_length"] == 1
    job = as_bob.submit()
    assert (job["queue_position"], job["queue_length"]) == (2, 2)
    assert job["limits"]["execute_seconds"] == 7
    assert set(job["limits"]) == {"compile_seconds", "execute_seconds"}
    as_gpu1.claim()
    as_gpu1.claim()
    assert as_bob.get(f"/jobs/{job['id']}").json()["queue_length"] is None
