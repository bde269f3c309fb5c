"""Results on their way to the queue: side by side, and past somebody who answers in its place.

Real executors, with a stub nvcc, against a stub queue.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process, World, wait_for
from tests.support.scripts import load
from tests.support.stub_queue import StubQueue
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = pytest.mark.once
executor = load("executor")
HTML = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
PRINTS_MUCH = "for n in {1..9000}; do echo 123456789012345678901234567890 $n; done"  # 300 kB


@pytest.fixture
def queue(world: World) -> Iterator[StubQueue]:
    queue = StubQueue(world)
    yield queue
    queue.close()


def start(world: World, queue: StubQueue, *more: Any) -> Process:
    nvcc = world.folder / "stub-nvcc"
    nvcc = nvcc if nvcc.exists() else fake_nvcc(world.folder, AS_SHELL)
    return world.start_executor(queue.auth(world), *more, nvcc=nvcc)


# --- The line alone ----------------------------------------------------------------------


def test_what_is_put_again_stands_behind_the_others() -> None:
    outbox = executor.Outbox([Path("a"), Path("b")])
    first = outbox.take()
    outbox.put(first)
    outbox.close()
    assert [outbox.take(), outbox.take(), outbox.take()] == [Path("b"), Path("a"), None]


def test_a_result_is_cut_at_its_logs_alone() -> None:
    report = {"outcome": "succeeded", "execute_log": "é" * 50_000 + "\udcff", "gpu": None}
    short = executor.with_short_logs(report, 1000)
    assert (short["outcome"], short["gpu"]) == ("succeeded", None)
    assert len(short["execute_log"].encode("utf-8", "surrogateescape")) < 1100
    assert short["execute_log"].endswith("é\udcff")
    assert "bytes left out" in short["execute_log"]
    assert "compile_log" not in short
    assert len(report["execute_log"]) == 50_001


# --- Executors ---------------------------------------------------------------------------


@pytest.mark.end_to_end
def test_a_result_that_gets_no_answer_keeps_no_other_waiting(
    world: World, queue: StubQueue
) -> None:
    go_on = threading.Event()

    def proxy(path: str, body: bytes) -> None:
        if path == "/api/v1/attempts/1001/result":
            go_on.wait(60)

    queue.proxy = proxy
    host = start(world, queue)
    first, second = (queue.submit("cuda", f"echo {n}") for n in (1, 2))
    queue.wait_until_done(second)
    assert first not in queue.results
    go_on.set()
    queue.wait_until_done(first)
    assert host.stop() == 0


@pytest.mark.end_to_end
def test_a_proxy_that_refuses_a_large_result_gets_a_shorter_one(
    world: World, queue: StubQueue
) -> None:
    """nginx's own 413, as in case `proxy-413`; more of them than there are senders."""
    queue.proxy = lambda path, body: (413, HTML) if len(body) > 100_000 else None
    host = start(world, queue)
    large = [queue.submit("cuda", PRINTS_MUCH) for _ in range(executor.SENDERS + 1)]
    small = queue.submit("cuda", "echo small")
    *results, last = queue.wait_until_done(*large, small)
    assert last["execute_log"] == "small\n"
    for result in results:
        assert result["outcome"] == "succeeded"
        assert result["execute_log"].endswith("9000\n")
        assert "bytes left out" in result["execute_log"]
    assert queue.released == []
    assert "nginx: client_max_body_size" in host.told()
    assert host.stop() == 0


@pytest.mark.end_to_end
@pytest.mark.parametrize("status", [403, 413])
def test_a_result_that_never_gets_through_goes_back_with_the_reason(
    world: World, queue: StubQueue, status: int
) -> None:
    def proxy(path: str, body: bytes) -> tuple[int, bytes] | None:
        return (status, HTML) if path.endswith("1001/result") else None

    queue.proxy = proxy
    host = start(world, queue)
    first, second = (queue.submit("cuda", f"echo {n}") for n in (1, 2))
    queue.wait_until_done(second)
    wait_for(lambda: queue.released, "the first is given back")
    ((job, why),) = queue.released
    assert job == first
    assert f"such as a proxy, answers {status}" in why
    spool = world.folder / "scratch/gpu1/spool"
    wait_for(lambda: not list(spool.iterdir()), "nothing is left in the spool")
    assert host.stop() == 0


@pytest.mark.hardening
@pytest.mark.end_to_end
def test_a_proxy_without_a_queue_behind_it_is_waited_for(world: World, queue: StubQueue) -> None:
    """A 502 is no refusal, however often it comes."""
    tries: list[str] = []

    def proxy(path: str, body: bytes) -> tuple[int, bytes] | None:
        if path.endswith("/result"):
            tries.append(path)
        return (502, HTML) if path.endswith("/result") and len(tries) < 6 else None

    queue.proxy = proxy
    host = start(world, queue)
    (result,) = queue.wait_until_done(queue.submit("cuda", "echo here"))
    assert (result["execute_log"], len(tries)) == ("here\n", 6)
    assert queue.released == []
    assert host.stop() == 0
