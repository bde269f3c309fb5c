"""--drain-seconds: a host that goes away soon, as Slurm and spot machines say beforehand.

Real executors, with a stub nvcc, against a stub queue.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gpus import StubGpus
from tests.support.processes import ROOT, Process, World, run, wait_for
from tests.support.scripts import load
from tests.support.stub_queue import LIMITS, StubQueue
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = pytest.mark.once
executor = load("executor")


@pytest.fixture
def queue(world: World) -> Iterator[StubQueue]:
    queue = StubQueue(world)
    yield queue
    queue.close()


def start(world: World, queue: StubQueue, *more: Any) -> Process:
    return world.start_executor(queue.auth(world), *more, nvcc=fake_nvcc(world.folder, AS_SHELL))


def runs(world: World, name: str, then: str) -> str:
    return f"touch {world.folder}/{name}; {then}"


def wait_until_runs(world: World, name: str) -> None:
    wait_for((world.folder / name).exists, f"{name} runs")


@pytest.mark.end_to_end
def test_what_runs_may_end_and_what_waits_goes_back_at_once(world: World, queue: StubQueue) -> None:
    """The limit of 600 s is more than the time there is, but the job may well end before."""
    host = start(world, queue, "--drain-seconds", 300)
    until = f"until [ -e {world.folder}/go ]; do sleep 0.05; done; echo done"
    first = queue.submit("cuda", runs(world, "first", until))
    wait_until_runs(world, "first")
    second = queue.submit("cuda", "echo second")
    wait_for(lambda: queue.phases.get(second) == "waiting", "the second is compiled")
    host.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: queue.released, "the second is given back")
    assert queue.released == [(second, "its executor was about to stop")]
    assert queue.uncounted == {second}
    (world.folder / "go").touch()
    (result,) = queue.wait_until_done(first)
    assert result["execute_log"] == "done\n"
    assert host.popen.wait(60) == 0
    assert "Stopping within 300 s" in host.told()


@pytest.mark.end_to_end
def test_what_can_be_over_in_time_is_finished(
    world: World, queue: StubQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "execute_seconds", 20)
    monkeypatch.setitem(LIMITS, "compile_seconds", 20)
    host = start(world, queue, "--drain-seconds", 300)
    until = f"until [ -e {world.folder}/go ]; do sleep 0.05; done; echo done"
    jobs = [queue.submit("cuda", runs(world, "first", until))]
    wait_until_runs(world, "first")
    jobs.append(queue.submit("cuda", "echo second"))
    wait_for(lambda: queue.phases.get(jobs[1]) == "waiting", "the second is compiled")
    host.popen.send_signal(signal.SIGTERM)
    host.wait_until_told("Stopping within 300 s")
    (world.folder / "go").touch()
    queue.wait_until_done(*jobs)
    assert host.popen.wait(60) == 0
    assert queue.released == []


@pytest.mark.end_to_end
def test_what_still_runs_then_goes_back(world: World, queue: StubQueue) -> None:
    host = start(world, queue, "--drain-seconds", 2)
    job = queue.submit("cuda", runs(world, "first", "sleep 500"))
    wait_until_runs(world, "first")
    host.popen.send_signal(signal.SIGTERM)
    assert host.popen.wait(60) == 0
    assert queue.released == [(job, "the executor was stopped")]
    assert queue.uncounted == {job}
    assert queue.results == {}


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1m", "", "604801", "٣"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        executor.parse(["--nproc-compile", "1", "--nproc-execute", "1", "--drain-seconds", text])


@pytest.mark.parametrize(("given", "kept"), [(1, 0.5), (6, 3), (60, 5), (3600, 5)])
def test_some_of_the_time_is_kept_for_giving_back(given: float, kept: float) -> None:
    assert executor.margin(given) == kept


def test_how_long_a_job_may_take() -> None:
    limits = {**LIMITS, "compile_seconds": 60, "execute_seconds": 100}
    attempt = object.__new__(executor.Attempt)
    attempt.limits, attempt.phase, attempt._ends_by = limits, "compiling", 0.0
    assert attempt.longest() == 160
    attempt._ends_by = time.monotonic() + 10
    assert 100 < attempt.longest() <= 110
    attempt.phase = "waiting"
    assert attempt.longest() == 100
    attempt.phase = "executing"
    assert attempt.longest() <= 10
    attempt._ends_by = 1.0  # it has ended, and is sent
    assert attempt.longest() == 0


def start_on_a_gpu(world: World, queue: StubQueue, *more: Any) -> tuple[StubGpus, Process]:
    stub = StubGpus(world.folder, 1)
    arguments = ("--kernel-log", stub.kernel_log, "--drain-seconds", 4, *more)
    host = world.start_executor(queue.auth(world), *arguments, **stub.options)
    host.wait_until_told("Executor gpu1: ")
    return stub, host


def seconds_to_end(host: Process) -> float:
    began = time.monotonic()
    host.popen.send_signal(signal.SIGTERM)
    assert host.popen.wait(60) == 0
    return time.monotonic() - began


@pytest.mark.end_to_end
def test_an_nvidia_smi_that_hangs_delays_neither_the_job_nor_the_end(
    world: World, queue: StubQueue
) -> None:
    stub, host = start_on_a_gpu(world, queue)
    job = queue.submit("cuda", runs(world, "first", "sleep 500"))
    wait_until_runs(world, "first")
    stub.hangs = True
    stub.write()
    assert seconds_to_end(host) < 8
    assert queue.released == [(job, "the executor was stopped")]
    assert queue.uncounted == {job}
    assert "Stopping at once: the time is over." in host.told()


@pytest.mark.end_to_end
def test_a_queue_that_does_not_answer_does_not_delay_the_end(
    world: World, queue: StubQueue
) -> None:
    _, host = start_on_a_gpu(world, queue)
    queue.submit("cuda", runs(world, "first", "sleep 500"))
    wait_until_runs(world, "first")
    answers = threading.Event()

    def hold(_path: str, _body: bytes) -> None:
        answers.wait(60)

    queue.proxy = hold
    assert seconds_to_end(host) < 8
    answers.set()


@pytest.mark.processes
def test_a_signal_while_it_says_why_it_cannot_start_is_no_traceback(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
import executor
said = executor.warn
def warn(text):
    said(text)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
executor.warn = warn
arguments = ["--nproc-compile", "1", "--nproc-execute", "0", "--nproc-cpu", "1"]
sys.exit(executor.main([*arguments, "--auth", {str(tmp_path / "none.json")!r}]))
"""
    done = run([sys.executable, "-c", script])
    assert done.status == 0, done
    assert "Traceback" not in done.err
    assert "none.json" in done.err
    assert done.err.endswith("Stopped while it was starting.\n")
