"""One serializer instance serves all threads: it keeps nothing of what it checks."""

import copy
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework.exceptions import ValidationError

from foundation.api.inputs import _shared, validated
from jobs.api.v1.inputs import HeartbeatIn, ReleaseIn, ResultIn, SubmissionIn

pytestmark = pytest.mark.once
BODIES: dict[type, dict[str, Any]] = {
    SubmissionIn: {"source": "int main() {}", "args": ["a"]},
    HeartbeatIn: {"lease_token": "x", "phase": "executing"},
    ReleaseIn: {"lease_token": "x", "reason": "full"},
    ResultIn: {"lease_token": "x", "outcome": "succeeded", "execute_log": "hello", "gpu": {"a": 1}},
}


def request(body: Any) -> Any:
    return SimpleNamespace(data=body, META={})


@pytest.mark.parametrize("kind", BODIES)
def test_nothing_of_a_body_stays_in_it(kind: type) -> None:
    validated(kind, request(BODIES[kind]))  # what is made at the first use stays
    before = copy.copy(vars(_shared(kind)))
    validated(kind, request(BODIES[kind]))
    with pytest.raises(ValidationError):
        validated(kind, request({"unlikely": ["content"]}))
    assert vars(_shared(kind)) == before


def test_threads_do_not_get_each_others_bodies() -> None:
    barrier, wrong = threading.Barrier(8), []

    def check(number: int) -> None:
        barrier.wait()
        for turn in range(100):
            args = [f"{number}-{turn}"] * (1 + number)
            data = validated(SubmissionIn, request({"source": f"s{number}-{turn}", "args": args}))
            if (data["source"], data["args"]) != (f"s{number}-{turn}", args):
                wrong.append(data)

    threads = [threading.Thread(target=check, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
