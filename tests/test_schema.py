"""The OpenAPI document: it is valid, it leaves nothing out, and real answers are as it says."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver

from accounts.api import urls as account_urls
from accounts.models import Executor
from accounts.tokens import USER_PREFIX, make
from foundation import problems
from jobs.api.v1 import urls
from pages.api import urls as page_urls
from tests.support.admin import Https
from tests.support.api import SOURCE, Api
from tests.support.openapi import DOCUMENT, faults, strict_document
from tests.support.processes import ROOT, run


@pytest.mark.processes
@pytest.mark.once
def test_the_document_is_valid_and_nothing_is_guessed() -> None:
    argv = [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn"]
    done = run(argv, cwd=ROOT)
    assert done.status == 0, done.err
    assert done.out.startswith("openapi: 3.1")


def test_it_is_there_for_everyone() -> None:
    answer = Https().get("/api/v1/schema")
    assert answer.status_code == 200
    assert json.loads(answer.content)["info"]["title"] == "Telerun"
    assert Https(enforce_csrf_checks=True).post("/api/v1/schema").status_code == 405


FOR_EVERYONE = ("/api/v1/schema", "/api/v1/client", "/healthz")
PATTERNS = [*account_urls.urlpatterns, *urls.urlpatterns, *page_urls.urlpatterns]


def problem_classes(kind: type[problems.Problem]) -> list[type[problems.Problem]]:
    return [found for one in kind.__subclasses__() for found in (one, *problem_classes(one))]


@pytest.mark.once
@pytest.mark.processes
def test_the_document_is_what_the_code_makes(tmp_path: Path) -> None:
    made = tmp_path / "openapi.json"
    argv = [sys.executable, "manage.py", "spectacular", "--format", "openapi-json", "--file", made]
    assert run(argv, cwd=ROOT).status == 0
    assert made.read_bytes() == DOCUMENT.read_bytes(), "say `make openapi`"


def test_every_address_of_the_api_is_in_it() -> None:
    routes = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/v1/{p.pattern}") for p in PATTERNS}
    assert set(strict_document()["paths"]) == {*routes, *FOR_EVERYONE}
    assert get_resolver().resolve("/healthz")


def test_every_kind_of_problem_is_in_it() -> None:
    """Each slug that the code can answer stands in the document."""
    slugs = {kind.slug for kind in problem_classes(problems.Problem)} - {"conflict"}
    slugs |= set(problems.FRAMEWORK_SLUGS.values()) - {"forbidden", "method-not-allowed"}
    text = json.dumps(strict_document())
    assert [slug for slug in sorted(slugs) if f"`{slug}`" not in text] == []


@pytest.mark.processes
@pytest.mark.once
def test_ordinary_requests_do_not_pay_for_it(tmp_path: Path) -> None:
    script = (
        "import sys, django; django.setup(); from django.test import Client;"
        "from django.urls import reverse; reverse('job', args=[1]); import telerun_site.wsgi;"
        "assert Client().get('/api/v1/jobs', secure=True).status_code == 401;"
        "print([m for m in sys.modules if m in"
        " ('drf_spectacular.openapi', 'drf_spectacular.generators', 'telerun_site.openapi')])"
    )
    environment = {
        "DJANGO_SETTINGS_MODULE": "telerun_site.settings",
        "TELERUN_DATA_DIR": str(tmp_path),
    }
    done = run([sys.executable, "-c", script], cwd=ROOT, env=environment)
    assert done.out.strip() == "[]", done.err


class Watched:
    """An Api whose every answer is held against the document."""

    def __init__(self, api: Api, seen: set[tuple[str, int]]) -> None:
        self._api, self._seen = api, seen

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        media = {"content_type": named.pop("Content-Type")} if "Content-Type" in named else {}
        answer = self._api.request(method, path, body, named, **media)
        told = {name.lower(): value for name, value in answer.headers.items()}
        content = b"".join(answer) if answer.streaming else answer.content
        found = faults(method, f"/api/v1{path}", answer.status_code, told, content)
        assert found == []
        self._seen.add((method, answer.status_code))
        return answer


def test_real_answers_are_as_it_says(
    as_alice: Api, as_bob: Api, as_gpu1: Api, gpu1: Executor, settings: Any
) -> None:
    seen: set[tuple[str, int]] = set()
    alice, bob, gpu = (Watched(api, seen) for api in (as_alice, as_bob, as_gpu1))
    job = submits(alice)
    reads(alice, bob, job)
    reports(gpu, alice, job)
    refuses(alice, gpu)
    Executor.objects.update(enabled=False)
    assert gpu("POST", "/claims", {}).json()["type"].endswith("executor-disabled")
    settings.TELERUN_SUBMITS_PER_MINUTE = 1
    assert alice("POST", "/jobs", {"source": SOURCE}).status_code == 429
    settings.TELERUN_WRONG_TOKENS_PER_MINUTE = 1
    stranger = Watched(Api(make(USER_PREFIX)), seen)
    assert [stranger("GET", "/jobs").status_code for _ in range(2)] == [401, 429]
    everyone = Watched(Api(None), seen)
    assert everyone("GET", "/schema").status_code == 200
    assert everyone("GET", "/jobs").status_code == 401
    assert Https().get("/healthz").json() == {"status": "ok"}
    assert {status for _, status in seen} == {
        200, 201, 204, 304, 400, 401, 403, 404, 406, 409, 411, 413, 415, 422, 429,
    }  # fmt: skip


def submits(alice: Watched) -> int:
    job = alice("POST", "/jobs", {"source": SOURCE, "args": ["1"]}, Idempotency_Key="k").json()[
        "id"
    ]
    assert alice("POST", "/jobs", {"source": "other"}, Idempotency_Key="k").status_code == 422
    assert alice("POST", "/jobs", {"source": SOURCE}).status_code == 409
    assert alice("POST", "/jobs", {"source": "x" * (1 << 20) + "x"}).status_code == 413
    assert alice("POST", "/jobs", {"source": 5}).status_code == 400
    assert alice("POST", "/jobs", b"x", Content_Type="text/plain").status_code == 415
    assert alice("POST", "/jobs", b"x", Content_Encoding="gzip").status_code == 415
    assert alice("POST", "/jobs", b"x", Transfer_Encoding="chunked").status_code == 411
    return job


def reads(alice: Watched, bob: Watched, job: int) -> None:
    assert alice("GET", "/jobs?limit=1").json()["count"] == 1
    assert alice("GET", "/jobs?limit=x").status_code == 400
    assert alice("GET", "/jobs", Accept="text/html").status_code == 406
    etag = alice("GET", f"/jobs/{job}")["ETag"]
    assert alice("GET", f"/jobs/{job}", If_None_Match=etag, Prefer="wait=0").status_code == 304
    assert bob("GET", f"/jobs/{job}").status_code == 404
    assert alice("GET", f"/jobs/{job}/source").status_code == 200
    assert bob("GET", f"/jobs/{job}/source").status_code == 404
    assert bob("POST", f"/jobs/{job}/cancel").status_code == 404


def reports(gpu: Watched, alice: Watched, job: int) -> None:
    claimed = gpu("POST", "/claims", {"gpus": []}).json()
    at, lease = f"/attempts/{claimed['attempt']['id']}", claimed["attempt"]["lease_token"]
    assert gpu("POST", "/claims", {}).status_code == 204
    assert gpu("PUT", "/executor", {"gpus": []}).status_code == 204
    alice("GET", f"/jobs/{job}")
    assert alice("GET", "/jobs").json()["results"][0]["state"] == "running"
    assert gpu("POST", f"{at}/release", {"lease_token": lease, "reason": ""}).status_code == 400
    gpu("POST", f"{at}/release", {"lease_token": lease, "reason": "full"})
    claimed = gpu("POST", "/claims", {}).json()
    at, lease = f"/attempts/{claimed['attempt']['id']}", claimed["attempt"]["lease_token"]
    gpu("POST", f"{at}/heartbeat", {"lease_token": lease, "phase": "executing"})
    assert (
        gpu("POST", f"{at}/heartbeat", {"lease_token": "x", "phase": "waiting"}).status_code == 409
    )
    sends_files(gpu, at, lease)
    result = {"lease_token": lease, "outcome": "runtime_error", "signal": 9, "execute_seconds": 1}
    kept = {"files": [{"name": "image.ppm", "size": 3}]}
    assert (
        gpu("PUT", f"{at}/result", {**result, **kept, "execute_log": "\udcff"}).status_code == 200
    )
    assert gpu("PUT", f"{at}/result", result).status_code == 409
    assert alice("GET", f"/jobs/{job}").json()["result"]["signal"] == 9
    assert alice("GET", f"/jobs/{job}/files/image.ppm").status_code == 200
    assert alice("GET", f"/jobs/{job}/files/other.ppm").status_code == 404
    assert alice("GET", "/jobs").json()["results"][0]["outcome"] == "runtime_error"
    assert alice("POST", f"/jobs/{job}/cancel").status_code == 409
    cancelled = alice("POST", "/jobs", {"source": SOURCE}).json()["id"]
    assert alice("POST", f"/jobs/{cancelled}/cancel").json()["state"] == "cancelled"


def sends_files(gpu: Watched, at: str, lease: str) -> None:
    def send(name: str, lease: str = lease) -> int:
        named = {"Telerun-Lease": lease, "Content-Type": "application/octet-stream"}
        return gpu("PUT", f"{at}/files/{name}", b"P6\xff", **named).status_code

    assert [send("image.ppm"), send("image.ppm"), send("..")] == [200, 200, 400]
    assert send("image.ppm", "x") == 409


def refuses(alice: Watched, gpu: Watched) -> None:
    assert gpu("GET", "/jobs").status_code == 403
    for method, path in (("POST", "heartbeat"), ("PUT", "result"), ("POST", "release")):
        assert alice(method, f"/attempts/1/{path}", {}).status_code == 403
        assert gpu(method, f"/attempts/1/{path}", {}).status_code == 400
        whole = {"lease_token": "x", "phase": "waiting", "outcome": "succeeded", "reason": "x"}
        assert gpu(method, f"/attempts/99/{path}", whole).status_code == 404
