"""What programs print, from a real executor to a stub queue, while they run.

Where a program must not end before its output was seen, it waits for a file that the test makes
then: nothing here is a matter of time.
"""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process, World, wait_for
from tests.support.scripts import load
from tests.support.stub_queue import StubQueue
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = [pytest.mark.once, pytest.mark.end_to_end]
executor = load("executor")
HTML = b"<html><head><title>no</title></head></html>"


@pytest.fixture
def queue(world: World) -> Iterator[StubQueue]:
    queue = StubQueue(world)
    queue.stream = True
    yield queue
    queue.close()


def start(world: World, queue: StubQueue, *more: Any, behaviour: str = AS_SHELL) -> Process:
    return world.start_executor(queue.auth(world), *more, nvcc=fake_nvcc(world.folder, behaviour))


def until(path: Path) -> str:
    """In a program: wait for a file."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


def test_output_is_seen_while_the_program_runs(world: World, queue: StubQueue) -> None:
    host, heard = start(world, queue), world.folder / "heard"
    job = queue.submit("cuda", f"echo first; printf no-newline; {until(heard)}; echo last")
    wait_for(lambda: queue.told(job) == b"first\nno-newline", "it is told")
    heard.touch()
    (result,) = queue.wait_until_done(job)
    assert result["execute_log"] == "first\nno-newlinelast\n"
    assert host.stop() == 0


def test_bytes_are_exact(world: World, queue: StubQueue) -> None:
    host, heard = start(world, queue), world.folder / "heard"
    octal = "".join(f"\\{n:o}" for n in range(256))
    job = queue.submit(
        "cuda", f"printf 'h\\303'; sleep 0.3; printf '\\251 {octal}'; {until(heard)}"
    )
    wait_for(lambda: queue.told(job) == b"h\xc3\xa9 " + bytes(range(256)), "it is told")
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


def test_the_compilers_log_is_told_before_the_first_byte_of_the_program(
    world: World, queue: StubQueue
) -> None:
    """Also one that was compiled before."""
    warns = "for n in {1..9000}; do echo warning $n; done; " + AS_SHELL
    host = start(world, queue, "--compile-cache", 8, behaviour=warns)
    heard = world.folder / "heard"
    said = "".join(f"warning {n}\n" for n in range(1, 9001)).encode()
    for _ in range(2):
        job = queue.submit("cuda", f"echo runs; {until(heard)}")
        wait_for(lambda job=job: queue.told(job) == b"runs\n", "it is told")
        assert queue.told(job, "compile") == said
        logs = [log for log, _, _ in queue.outputs[job]]
        assert logs == sorted(logs)  # "compile" comes before "execute"
        heard.touch()
        (result,) = queue.wait_until_done(job)
        assert result["compile_log"] == said.decode()
        heard.unlink()
    assert result["compiled_before"]
    assert host.stop() == 0


def test_what_a_compiler_says_is_told_while_it_compiles(world: World, queue: StubQueue) -> None:
    heard = world.folder / "heard"
    host = start(world, queue, behaviour=f"echo compiling; {until(heard)}; " + AS_SHELL)
    job = queue.submit("cuda", "true")
    wait_for(lambda: queue.told(job, "compile") == b"compiling\n", "it is told")
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


def test_an_older_queue_gets_no_output_and_no_logs(world: World, queue: StubQueue) -> None:
    queue.stream = None
    host = start(world, queue)
    queue.wait_until_done(queue.submit("cuda", "echo x; sleep 0.5"))
    job = queue.submit("cuda", "echo x; sleep 600")
    wait_for(lambda: queue.phases.get(job) == "executing", "it runs")
    queue.cancelled.add(job)
    wait_for(lambda: queue.released, "it is given back")
    assert queue.outputs == {}
    assert queue.partial[job] == {}
    assert host.stop() == 0


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_queue_that_does_not_take_it_is_asked_once(
    world: World, queue: StubQueue, status: int
) -> None:
    asked = []

    def proxy(path: str, _body: bytes) -> tuple[int, bytes] | None:
        if not path.endswith("/output"):
            return None
        asked.append(path)
        return status, HTML if status == 405 else b"{}"

    queue.proxy = proxy
    host = start(world, queue)
    for _ in range(2):
        queue.wait_until_done(
            queue.submit("cuda", "for n in 1 2 3 4 5; do echo x; sleep 0.1; done")
        )
    assert len(asked) == 1
    assert "output" not in host.told()
    assert host.stop() == 0


def test_a_lost_lease_ends_that_one_alone(world: World, queue: StubQueue) -> None:
    asked = []

    def proxy(path: str, _body: bytes) -> tuple[int, bytes] | None:
        if path == "/api/v1/attempts/1001/output":
            asked.append(path)
            return 409, b"{}"
        return None

    queue.proxy = proxy
    host, heard = start(world, queue), world.folder / "heard"
    queue.wait_until_done(queue.submit("cuda", "for n in 1 2 3 4 5; do echo x; sleep 0.1; done"))
    job = queue.submit("cuda", f"echo seen; {until(heard)}")
    wait_for(lambda: queue.told(job) == b"seen\n", "it is told")
    heard.touch()
    queue.wait_until_done(job)
    assert len(asked) == 1
    assert host.stop() == 0


@pytest.mark.parametrize("answer", [(429, b"{}"), (503, b"{}"), (502, HTML), None])
def test_what_is_refused_for_now_is_sent_again(world: World, queue: StubQueue, answer: Any) -> None:
    """None: the connection breaks after the output was taken, so that it comes twice."""
    refused = []

    def proxy(path: str, body: bytes) -> tuple[int, bytes] | None:
        if not path.endswith("/output") or len(refused) >= 2:
            return None
        refused.append(body)
        if answer is None:
            raise ConnectionError
        return answer  # type: ignore[no-any-return]

    queue.proxy = proxy
    host, heard = start(world, queue), world.folder / "heard"
    job = queue.submit("cuda", f"echo first; {until(heard)}")
    wait_for(lambda: queue.told(job) == b"first\n", "it is told")
    assert len(set(refused)) == 1
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


def test_who_lets_only_little_pass_gets_little(world: World, queue: StubQueue) -> None:
    queue.proxy = lambda path, body: (
        (413, HTML) if path.endswith("/output") and len(body) > 4000 else None
    )
    host, heard = start(world, queue), world.folder / "heard"
    job = queue.submit("cuda", f"seq 1 9000; {until(heard)}")
    whole = b"".join(b"%d\n" % n for n in range(1, 9001))
    wait_for(lambda: queue.told(job) == whole, "it is told")
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


def test_nobody_watches_and_then_somebody_does(world: World, queue: StubQueue) -> None:
    """At most once a second meanwhile; who comes gets all from the beginning."""
    queue.stream = queue.watched = False
    host, printed, heard = start(world, queue), world.folder / "printed", world.folder / "heard"
    job = queue.submit(
        "cuda",
        f"for n in {{1..100}}; do echo $n; sleep 0.02; done; touch {printed}; {until(heard)}",
    )
    wait_for(printed.exists, "all is printed")
    seconds = 100 * 0.02
    assert len(queue.outputs.get(job, [])) <= 1 + 3 * seconds
    queue.watched = True
    whole = b"".join(b"%d\n" % n for n in range(1, 101))
    wait_for(lambda: queue.told(job) == whole, "it is told")
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


def test_a_queue_that_never_answers_delays_no_result(world: World, queue: StubQueue) -> None:
    go_on = threading.Event()

    def proxy(path: str, _body: bytes) -> None:
        if path.endswith("/output"):
            go_on.wait(60)

    queue.proxy = proxy
    host = start(world, queue)
    jobs = [queue.submit("cuda", f"echo {n}; sleep 0.3") for n in range(3)]
    results = queue.wait_until_done(*jobs)
    assert [result["execute_log"] for result in results] == ["0\n", "1\n", "2\n"]
    assert not go_on.is_set()
    go_on.set()
    assert host.stop() == 0


def test_an_attempt_that_gets_no_answer_keeps_no_other_silent(
    world: World, queue: StubQueue
) -> None:
    go_on, heard = threading.Event(), world.folder / "heard"

    def proxy(path: str, _body: bytes) -> None:
        if path == "/api/v1/attempts/1001/output":
            go_on.wait(60)

    queue.proxy = proxy
    host = start(world, queue, "--nproc-execute", 2, "--no-gpu")
    jobs = [queue.submit("cuda", f"echo {n}; {until(heard)}") for n in range(2)]
    wait_for(lambda: queue.told(jobs[1]) == b"1\n", "the other is told")
    assert queue.told(jobs[0]) == b""
    heard.touch()
    queue.wait_until_done(*jobs)
    go_on.set()
    assert host.stop() == 0


def test_a_flood_is_bounded_and_in_order(world: World, queue: StubQueue) -> None:
    """What is left out is a gap between offsets; what is there is where it says."""
    host, heard = start(world, queue), world.folder / "heard"
    job = queue.submit("cuda", f"seq 1 100000; echo end; {until(heard)}")  # 589 kB
    whole = b"".join(b"%d\n" % n for n in range(1, 100_001)) + b"end\n"
    wait_for(lambda: queue.told(job).endswith(b"end\n"), "the end is told")
    at = 0
    for _, offset, data in queue.outputs[job]:
        assert offset >= at
        assert whole[offset : offset + len(data)] == data
        assert len(data) <= executor.FRAME_BYTES
        at = offset + len(data)
    heard.touch()
    queue.wait_until_done(job)
    assert host.stop() == 0


# --- Endings without a result --------------------------------------------------------------


def test_a_cancelled_job_is_given_back_with_its_logs(world: World, queue: StubQueue) -> None:
    host = start(world, queue, behaviour="echo a warning; " + AS_SHELL)
    job = queue.submit("cuda", "echo line; printf part; sleep 600")
    wait_for(lambda: queue.told(job) == b"line\npart", "it is told")
    queue.cancelled.add(job)
    wait_for(lambda: queue.released, "it is given back")
    assert queue.partial[job] == {"compile_log": "a warning\n", "execute_log": "line\npart"}
    assert host.stop() == 0


def test_an_executor_that_stops_sends_the_logs(world: World, queue: StubQueue) -> None:
    host = start(world, queue)
    job = queue.submit("cuda", "echo line; sleep 600")
    wait_for(lambda: queue.told(job) == b"line\n", "it is told")
    host.send(signal.SIGTERM)
    host.wait_until_told("Stopping: no more jobs")
    host.send(signal.SIGTERM)
    wait_for(lambda: queue.released, "it is given back")
    assert queue.partial[job] == {"execute_log": "line\n"}


def test_logs_of_a_release_become_shorter_for_a_proxy(world: World, queue: StubQueue) -> None:
    queue.proxy = lambda path, body: (
        (413, HTML) if path.endswith("/release") and len(body) > 50_000 else None
    )
    host, printed = start(world, queue), world.folder / "printed"
    job = queue.submit("cuda", f"seq 1 20000; touch {printed}; sleep 600")
    wait_for(printed.exists, "all is printed")
    queue.cancelled.add(job)
    wait_for(lambda: queue.released, "it is given back")
    log = queue.partial[job]["execute_log"]
    assert log.startswith("1\n2\n")
    assert log.endswith("19999\n20000\n")
    assert "bytes left out" in log
    assert host.stop() == 0
