"""How the queue is, for everyone."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Executor, User
from tests.support.api import Api, problem
from tests.support.hosts import BROKEN, H100, L4, host, silent

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def several(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = settings.TELERUN_SUBMITS_PER_MINUTE = 100


def test_the_queue_as_it_is(
    as_alice: Api, as_bob: Api, gpu1: Executor, gpu2: Executor, as_gpu1: Api
) -> None:
    empty = as_alice.get("/queue").json()
    assert empty == {
        "accepting": True, "starting": True, "message": "", "queued": 0, "running": 0,
        "platforms": [], "announcements": [],
    }  # fmt: skip
    host(gpu1, {"cuda": 2, "h100": 2, "cpu": 4}, H100, {**H100, "uuid": "GPU-c", **BROKEN})
    host(gpu2, {"cuda": 1, "l4": 1}, L4)
    as_alice.submit()
    as_gpu1.claim()
    as_bob.submit(platform="l4")
    as_bob.submit(filename="a.cpp")
    silent(gpu2, minutes=1)
    now = as_bob.get("/queue").json()
    assert (now["queued"], now["running"]) == (2, 1)
    assert now["platforms"] == [
        {"name": "cpu", "executors": 1, "gpus": 0, "queued": 1},
        {"name": "cuda", "executors": 1, "gpus": 1, "queued": 0},
        {"name": "h100", "executors": 1, "gpus": 1, "queued": 0},
        {"name": "l4", "executors": 0, "gpus": 0, "queued": 1},
    ]


def test_the_queue_is_for_users(nobody: Api, as_gpu1: Api, as_alice: Api) -> None:
    assert problem(nobody.get("/queue")) == (401, "not-authenticated")
    assert problem(as_gpu1.get("/queue")) == (403, "wrong-token-kind")
    assert problem(as_alice.post("/queue", {})) == (405, "method-not-allowed")
    assert as_alice.request("HEAD", "/queue").status_code == 200


def test_nobody_is_named(as_alice: Api, make_user: Callable[[str], User], gpu1: Executor) -> None:
    secret = make_user("mallory-the-secret")
    host(gpu1)
    Api(secret.issue_token()).submit(filename="private-name.cu")
    mine = as_alice.submit()
    texts = [
        as_alice.get(path).content.decode() for path in ("/queue", f"/jobs/{mine['id']}", "/jobs")
    ]
    assert not any(word in text for text in texts for word in ("mallory", "private-name", "gpu1"))
