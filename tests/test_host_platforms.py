"""Platforms on a host: what it offers, what it claims, and which worker runs what.

Real executor processes on stub GPUs, with a stub nvcc, against a stub queue that gives out by the
platforms that a claim names.
"""

import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gpus import StubGpus
from tests.support.processes import ROOT, Process, World, run, wait_for
from tests.support.scripts import load
from tests.support.stub_queue import StubClaim, StubQueue

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"


@pytest.fixture
def stub(world: World) -> StubGpus:
    """An H100 and an A100."""
    stub = StubGpus(world.folder, 2)
    stub.change(0, name=H100)
    stub.change(1, name=A100, compute_cap="8.0")
    return stub


@pytest.fixture
def queue(world: World) -> Iterator[StubQueue]:
    queue = StubQueue(world)
    yield queue
    queue.close()


def start(world: World, queue: StubQueue, stub: StubGpus, *arguments: Any, **more: Any) -> Process:
    return world.start_executor(
        queue.auth(world), "--kernel-log", stub.kernel_log, *arguments, **{**stub.options, **more}
    )


class Holding:
    """Programs that say where they run, and run until they are let go."""

    def __init__(self, world: World, queue: StubQueue) -> None:
        self._folder = world.folder
        self._queue = queue

    def submit(self, platform: str | None) -> int:
        name = self._folder / f"job-{len(self._queue.jobs) + 1}"
        return self._queue.submit(
            platform,
            f'echo "on ${{CUDA_VISIBLE_DEVICES:-no GPU}}" | tee {name}.part; '
            f"mv {name}.part {name}.runs; "
            f"until [ -e {name}.go ]; do sleep 0.02; done",
        )

    def runs(self, *jobs: int) -> bool:
        return all((self._folder / f"job-{job}.runs").exists() for job in jobs)

    def device(self, job: int) -> str:
        return (self._folder / f"job-{job}.runs").read_text().strip()[3:]

    def wait_until_runs(self, *jobs: int) -> None:
        wait_for(lambda: self.runs(*jobs), f"jobs {jobs} run")

    def let_go(self, *jobs: int) -> None:
        for job in jobs:
            (self._folder / f"job-{job}.go").touch()


@pytest.fixture
def holding(world: World, queue: StubQueue) -> Holding:
    return Holding(world, queue)


def device(result: dict[str, Any]) -> str:
    return re.search(r"on (.+)", result["execute_log"])[1]  # type: ignore[index]


def test_a_full_kind_keeps_no_other_worker_idle(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    """With one compile worker, which must not wait for any of them."""
    host = start(world, queue, stub, "--nproc-cpu", 2, execute=2)
    host.wait_until_told("offers cuda x 2, h100 x 1, a100 x 1, cpu x 2, ")
    first = holding.submit("h100")
    holding.wait_until_runs(first)
    second, third = holding.submit("h100"), holding.submit("h100")
    wait_for(lambda: queue.phases.get(second) == "waiting", "the second is compiled")
    any_gpu, on_cpu = holding.submit("cuda"), [holding.submit("cpu"), holding.submit("cpu")]
    holding.wait_until_runs(any_gpu, *on_cpu)
    named = queue.wait_until_named("cuda", "cpu", "a100")
    assert named.platforms == {"cuda": 1, "a100": 1, "cpu": 1}
    assert [job["id"] for job in queue.waiting] == [third]
    assert named.body["offers"] == {"cuda": 2, "h100": 1, "a100": 1, "cpu": 2}
    assert {"cuda", "cpp"} <= set(named.body["languages"])
    holding.let_go(first)
    holding.wait_until_runs(second)
    wait_for(lambda: queue.phases.get(third) == "waiting", "the third is claimed then")
    holding.let_go(second, third, any_gpu, *on_cpu)
    results = queue.wait_until_done(first, second, third, any_gpu, *on_cpu)
    h100, a100 = (gpu["uuid"] for gpu in stub.gpus)
    assert list(map(device, results)) == [h100] * 3 + [a100] + ["no GPU"] * 2
    assert [result["arch"] for result in results] == ["sm_90a"] * 3 + ["sm_80, sm_90a"] + [None] * 2
    assert host.stop() == 0


@pytest.mark.parametrize("compile_workers", [1, 3])
def test_no_worker_is_idle_while_a_job_waits_that_it_could_run(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding, compile_workers: int
) -> None:
    """Forty jobs at random; one after the other ends, and its worker must get the next."""
    host = start(world, queue, stub, "--nproc-cpu", 2, execute=2, compile=compile_workers)
    dice = random.Random(compile_workers)
    h100, a100 = (gpu["uuid"] for gpu in stub.gpus)
    serves = {h100: {"cuda", "h100"}, a100: {"cuda", "a100"}, "no GPU": {"cpu"}}
    jobs = {}
    for _ in range(40):
        platform = dice.choice(["h100", "h100", "cuda", "cpu", "a100"])
        jobs[holding.submit(platform)] = platform
    running: dict[int, str] = {}

    def nobody_is_idle() -> bool:
        """And who runs what they should not fails at once."""
        running.update({job: holding.device(job) for job in jobs if holding.runs(job)})
        idle = [h100, a100, "no GPU", "no GPU"]
        for job in running.keys() - over:
            idle.remove(running[job])
        waiting = {jobs[job] for job in jobs.keys() - running.keys()}
        return all(serves[device].isdisjoint(waiting) for device in idle)

    over: set[int] = set()
    while over != jobs.keys():
        wait_for(nobody_is_idle, f"all work; {running} run, and {over} are over")
        job = dice.choice(sorted(running.keys() - over))
        over.add(job)
        holding.let_go(job)
    queue.wait_until_done(*jobs)
    assert all(jobs[job] in serves[device] for job, device in running.items())
    assert queue.released == []
    assert len(queue.given) == len(jobs)
    assert host.stop() == 0


def test_a_host_with_one_platform_keeps_its_connection(
    world: World, queue: StubQueue, stub: StubGpus
) -> None:
    host = start(world, queue, stub, execute=1, CUDA_VISIBLE_DEVICES="1")
    for _ in range(5):
        queue.wait_until_done(queue.submit("cuda", "true"))
    queue.wait_until_done(*[queue.submit("a100", "sleep 0.1") for _ in range(5)])
    assert len({claim.connection for claim in queue.claims}) == 1
    assert len({claim.key for claim in queue.claims}) == len(queue.claims)
    assert host.stop() == 0


def test_a_slot_that_gets_free_while_a_claim_is_held(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=1)  # the H100 and a CPU slot
    first, second = holding.submit("h100"), holding.submit("cuda")
    holding.wait_until_runs(first)
    held = queue.wait_until_named("cpu")
    holding.let_go(first)
    anew = queue.wait_until_named("cuda", "h100", "cpu")
    assert anew.key == held.key
    third = holding.submit("h100")
    holding.let_go(second, third)
    queue.wait_until_done(first, second, third)
    assert host.stop() == 0


@pytest.mark.parametrize("answered", [True, False])
def test_a_job_that_comes_as_its_claim_is_hung_up(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding, answered: bool
) -> None:
    """It is the claim's before or after; either way it is run, once."""
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=1)
    first, second = holding.submit("h100"), holding.submit("cuda")
    holding.wait_until_runs(first)
    held = queue.wait_until_named("cpu")
    hold, hung_up = threading.Event(), threading.Event()

    def before_answer(claim: StubClaim) -> None:
        if claim is held:
            hung_up.set()
            assert hold.wait(60)

    queue.before_answer = before_answer
    if answered:  # it is the claim's, and the answer is lost
        third = holding.submit("cpu")
        assert hung_up.wait(60)
        holding.let_go(first)
        wait_for(lambda: holding.runs(third), "the same key brings it")
        assert [c.key for c in queue.claims].count(held.key) == 2
        hold.set()
    else:
        holding.let_go(first)
        queue.wait_until_named("cuda", "h100", "cpu")
        third = holding.submit("cpu")
        holding.wait_until_runs(third)
        assert not hung_up.is_set()
    holding.let_go(second, third)
    queue.wait_until_done(first, second, third)
    assert len(queue.given) == 3
    assert queue.released == []
    assert host.stop() == 0


def test_a_kind_whose_gpus_are_broken_is_not_asked_for(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=2)
    first, second = holding.submit("h100"), holding.submit("h100")
    holding.wait_until_runs(first)
    wait_for(lambda: queue.phases.get(second) == "waiting", "the second is compiled")
    stub.xid(0, 79, "GPU has fallen off the bus.")
    stub.change(0, computes=False)
    holding.let_go(first)
    host.wait_until_told("No h100 of this host works: claiming no jobs for it until one does.")
    queue.wait_until_named("cuda", "a100", "cpu")
    wait_for(lambda: len(queue.released) == 2, "both are given back")
    assert (second, "no h100 of this host works") in queue.released
    third, fourth = holding.submit("cuda"), holding.submit("cpu")
    holding.wait_until_runs(third, fourth)
    stub.change(1, missing=True)
    holding.let_go(third)
    host.wait_until_told("No GPU of this host works: claiming jobs for cpu alone until one does.")
    queue.wait_until_named("cpu")
    stub.change(0, computes=True)
    host.wait_until_told("works again", seconds=90)
    queue.wait_until_named("cuda", "h100", "cpu")
    holding.let_go(fourth)
    assert host.stop() == 0


def test_a_cancelled_job_that_waits_leaves_room(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    host = start(world, queue, stub, execute=1)
    first, second, third = (holding.submit("h100") for _ in range(3))
    wait_for(lambda: queue.phases.get(second) == "waiting", "the second is compiled")
    assert [job["id"] for job in queue.waiting] == [third]
    queue.cancelled.add(second)
    wait_for(lambda: not queue.waiting, "the third is claimed")
    holding.let_go(first, third)
    queue.wait_until_done(first, third)
    wait_for(lambda: queue.released == [(second, "it was cancelled")], "the second is given up")
    assert host.stop() == 0


def test_a_cpu_host_looks_for_no_gpu(world: World, queue: StubQueue, stub: StubGpus) -> None:
    host = start(world, queue, stub, "--nproc-cpu", 2, execute=0, CUDA_VISIBLE_DEVICES="no such")
    host.wait_until_told("no GPU, offers cpu x 2, ")
    queue.wait_until_done(queue.submit("cpu", "true"))
    assert queue.claims[0].platforms == {"cpu": 2}
    assert host.stop() == 0


def test_a_cpu_host_needs_no_nvcc(world: World, queue: StubQueue) -> None:
    """In the real sandbox, which is tried at the start."""
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 0,
            "--nproc-cpu", 2, "--auth", queue.auth(world), "--scratch-dir",
            world.folder / "scratch"]  # fmt: skip
    place = {**world.environment, "PATH": "/usr/bin:/bin"}
    host = Process("cpu1", world.folder / "cpu1.log", argv, env=place)
    world.processes.append(host)
    host.wait_until_told("no GPU, offers cpu x 2, ")
    assert queue.wait_until_named("cpu").body["offers"] == {"cpu": 2}
    assert host.stop() == 0
    argv += ["--nvcc", "no-such-nvcc"]
    assert "no-such-nvcc is no program" in run(argv, env=place).err


def test_a_host_with_gpus_and_cpu_slots_at_an_older_queue(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    """Which gives any claim any job, and all of them are for GPUs."""
    host = start(world, queue, stub, "--nproc-cpu", 4, execute=1)
    jobs = [holding.submit(None) for _ in range(5)]
    holding.wait_until_runs(jobs[0])
    wait_for(lambda: queue.phases.get(jobs[1]) == "waiting", "the second is compiled")
    host.wait_until_told("it has no jobs for one platform alone")
    assert len(queue.given) == 2
    holding.let_go(*jobs)
    queue.wait_until_done(*jobs)
    assert all(device(result) == stub.gpus[0]["uuid"] for result in queue.results.values())
    assert "platforms" not in queue.claims[-1].body
    queue.wait_until_done(queue.submit("cuda", "true"))  # the queue was updated meanwhile
    queue.wait_until_named("cuda", "h100", "cpu")
    assert host.stop() == 0


def test_a_cpu_host_at_an_older_queue_says_so_and_stops(
    world: World, queue: StubQueue, stub: StubGpus
) -> None:
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=0)
    queue.submit(None, "true")
    assert host.popen.wait(60) == 2
    assert "The queue is older than this executor and has only jobs for GPUs" in host.told()
    assert [job for job, _ in queue.released] == [1]


def test_a_cpu_host_asks_what_the_queue_knows_before_it_claims(
    world: World, queue: StubQueue, stub: StubGpus
) -> None:
    queue.document = {"components": {"schemas": {"ClaimedJob": {"properties": {"id": {}}}}}}
    queue.submit(None, "true")
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=0)
    assert host.popen.wait(60) == 2
    assert "The queue is older than this executor and has only jobs for GPUs" in host.told()
    assert (queue.claims, queue.released) == ([], [])


def test_the_real_queue_s_document_knows_platforms() -> None:
    document = json.loads((ROOT / "telerun_site/openapi.json").read_text())
    assert load("executor").mentions_platforms(document)
    del document["components"]["schemas"]["ClaimedJob"]["properties"]["platform"]
    assert not load("executor").mentions_platforms(document)


def test_a_job_for_a_platform_that_was_not_asked_for_is_given_back(
    world: World, queue: StubQueue, stub: StubGpus
) -> None:
    """A fault of the queue."""

    def change(claim: StubClaim) -> None:
        job = queue.given[claim.key]["job"]
        job["platform"] = "tpu" if job["id"] == 1 else job["platform"]

    queue.before_answer = change
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=1)
    queue.submit("cpu", "true")
    why = "it is for 'tpu', which this host does not offer"
    wait_for(lambda: queue.released == [(1, why)], "it is given back")
    queue.wait_until_done(queue.submit("cuda", "true"), queue.submit("cpu", "true"))
    assert f"Job 1: {why}; giving it back." in host.told()
    assert "No GPU" not in host.told()
    assert host.stop() == 0


def test_stopping_finishes_the_jobs_of_every_platform(
    world: World, queue: StubQueue, stub: StubGpus, holding: Holding
) -> None:
    host = start(world, queue, stub, "--nproc-cpu", 1, execute=2)
    jobs = [holding.submit(name) for name in ("h100", "cpu", "a100", "h100", "cpu")]
    holding.wait_until_runs(*jobs[:3])
    wait_for(lambda: all(queue.phases.get(j) == "waiting" for j in jobs[3:]), "two wait")
    host.send(15)
    host.wait_until_told("finishing those in hand")
    holding.let_go(*jobs)
    assert host.popen.wait(60) == 0
    assert set(queue.results) == set(jobs)
