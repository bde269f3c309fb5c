"""Quarantine from end to end: a real queue and real executors on stub GPUs, with a stub nvcc."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gpus import UNKILLABLE, StubGpus, kill_if_left, stub_executor
from tests.support.processes import ROOT, Process, World, pythons, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]

WHERE = 'echo "on $CUDA_VISIBLE_DEVICES"\n'


@pytest.fixture
def stub(world: World) -> StubGpus:
    return StubGpus(world.folder, 2)


def start(
    world: World, stub: StubGpus, *arguments: Any, name: str = "gpu1", **more: Any
) -> Process:
    return world.start_executor(
        world.executor(name), "--kernel-log", stub.kernel_log, *arguments,
        **{**stub.options, **more},
    )  # fmt: skip


def about(world: World, auth: Path) -> dict[str, Any]:
    """What the queue knows of the executor gpu1."""
    script = (
        "import json; from accounts.models import Executor as E;"
        "print(json.dumps(E.objects.get(name='gpu1').about))"
    )
    return json.loads(world.aside("shell", "-v0", "-c", script).out)


def conditions(world: World) -> list[tuple[str, str | None]]:
    told = about(world, world.folder)
    return [(gpu["condition"], gpu.get("reason")) for gpu in told.get("gpus", [])]


def attempts(world: World, alice: Path, job: int) -> list[tuple[str, str, str]]:
    _, _, seen = world.request(alice, "GET", f"/jobs/{job}")
    return [(a["executor"], a["ending"], a["reason"]) for a in seen["attempts"]]


def test_each_worker_has_its_gpu_and_each_result_its_stamp(world: World, stub: StubGpus) -> None:
    alice = world.user("alice")
    world.start_server()
    host = start(world, stub, execute=2, python=pythons()[0])
    done = world.submit(alice, world.source(WHERE))
    assert done.status == 0, done.out + done.err
    _, _, job = world.request(alice, "GET", "/jobs/1")
    gpu = job["result"]["details"]["gpu"]
    assert f"on {gpu['uuid']}\n" in done.out
    assert {k: v for k, v in gpu.items() if k not in ("index", "uuid")} == {
        "name": "Stub GPU",
        "architecture": "sm_90",
        "driver": "580.00.00",
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "temperature_c": 41,
        "throttled": [],
    }
    assert conditions(world) == [("ready", None)] * 2
    assert "slowed down by heat" not in done.err
    for number in range(2):
        stub.change(number, **{"clocks_event_reasons.active": "0x0000000000000020"})
    assert "The GPU was slowed down by heat" in world.submit(alice, world.source(WHERE)).err
    assert host.stop() == 0


@pytest.mark.long(15)
def test_a_gpu_with_a_process_on_it_is_quarantined_alone_and_comes_back(
    world: World, stub: StubGpus
) -> None:
    alice = world.user("alice")
    world.start_server()
    stub.change(0, processes=[[4711, "python3"]])
    host = start(world, stub, execute=2)
    host.wait_until_told("is quarantined: processes are on it: 4711 (python3)")
    for _ in range(3):
        done = world.submit(alice, world.source(WHERE))
        assert f"on {stub.gpus[1]['uuid']}\n" in done.out, done.out + done.err
    words = "processes are on it: 4711 (python3)"
    wait_for(lambda: conditions(world) == [("quarantined", words), ("ready", None)], "staff see it")
    stub.change(0, processes=[])
    host.wait_until_told(f"GPU 0 ({stub.gpus[0]['uuid']}) works again")
    wait_for(lambda: conditions(world) == [("ready", None)] * 2, "staff see it")
    assert host.stop() == 0


@pytest.mark.long(15)
def test_a_gpu_that_fails_under_a_job_costs_the_student_nothing(
    world: World, stub: StubGpus
) -> None:
    """The program fails with it; the job runs on another host, and this one claims no more."""
    alice, bob = world.user("alice"), world.user("bob")
    world.start_server()
    host = start(world, stub, compile=2)
    fails = world.source(f"touch {world.folder}/runs; until [ -e {world.folder}/go ]; do sleep 0.05; done; exit 1", "a.cu")  # fmt: skip  # noqa: E501
    first = world.start_submit(alice, fails)
    wait_for((world.folder / "runs").exists, "it runs")
    second = world.start_submit(bob, world.source(WHERE, "b.cu"))
    second.wait_until_told("compiled, waiting for a GPU")
    stub.xid(0, 79, "GPU has fallen off the bus.")
    stub.change(0, computes=False)
    (world.folder / "go").touch()
    host.wait_until_told("No GPU of this host works: claiming no jobs")
    other = StubGpus(world.folder / "queue", 1)
    start(world, other, name="gpu2")
    assert first.popen.wait(60) == 1
    assert second.popen.wait(60) == 0
    broken = "GPU 0 failed: Xid 79 (GPU has fallen off the bus.)"
    assert attempts(world, alice, 1) == [("gpu1", "released", broken), ("gpu2", "finished", "")]
    none = "no GPU of this host works"
    assert attempts(world, bob, 2) == [("gpu1", "released", none), ("gpu2", "finished", "")]
    computes = (
        "a tiny CUDA program fails on it: cudaMalloc: unspecified launch failure, says the stub"
    )
    wait_for(lambda: conditions(world) == [("quarantined", computes)], "staff see it")
    stub.change(0, computes=True)
    host.wait_until_told("works again")
    world.processes[-1].kill()
    next_one = world.submit(alice, world.source(WHERE))
    assert next_one.status == 0
    assert host.stop() == 0


def test_a_host_whose_gpus_all_fail_at_the_start_claims_nothing(
    world: World, stub: StubGpus
) -> None:
    alice = world.user("alice")
    world.start_server()
    stub.change(0, computes=False)
    client = world.start_submit(alice, world.source(WHERE))
    host = start(world, stub)
    host.wait_until_told("No GPU of this host works")
    wait_for(lambda: conditions(world), "it tells of itself all the same")
    assert conditions(world)[0][0] == "quarantined"
    assert attempts(world, alice, 1) == []
    stub.change(0, computes=True)
    assert client.popen.wait(60) == 0
    assert [ending for _, ending, _ in attempts(world, alice, 1)] == ["finished"]
    assert host.stop() == 0


@pytest.mark.long(37)
def test_an_nvidia_smi_that_hangs_quarantines_its_gpu_alone(world: World, stub: StubGpus) -> None:
    alice = world.user("alice")
    world.start_server()
    host = start(world, stub, execute=2)
    world.submit(alice, world.source(WHERE))
    stub.hangs = stub.gpus[0]["uuid"]
    stub.write()
    # Idle GPUs are looked at too, so nobody has to be lucky enough to get this one.
    host.wait_until_told("is quarantined: nvidia-smi does not answer within 15 s", seconds=90)
    for _ in range(2):
        done = world.submit(alice, world.source(WHERE))
        assert f"on {stub.gpus[1]['uuid']}\n" in done.out, done.out + done.err
    stub.hangs = False
    stub.write()
    host.wait_until_told("works again")
    assert host.stop() == 0


def test_a_host_in_quarantine_stops_at_once_when_told(world: World, stub: StubGpus) -> None:
    world.start_server()
    stub.change(0, missing=False, computes=False)
    host = start(world, stub, compile=2)
    host.wait_until_told("No GPU of this host works")
    assert host.stop() == 0


def test_one_that_is_told_to_stop_gives_back_what_no_gpu_can_run(
    world: World, stub: StubGpus
) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    world.start_server()
    host = start(world, stub, compile=2)
    holds = f"touch {world.folder}/runs; until [ -e {world.folder}/go ]; do sleep 0.05; done"
    world.start_submit(alice, world.source(holds, "a.cu"))
    wait_for((world.folder / "runs").exists, "it runs")
    second = world.start_submit(bob, world.source(WHERE, "b.cu"))
    second.wait_until_told("compiled, waiting for a GPU")
    host.send(signal.SIGTERM)
    host.wait_until_told("finishing those in hand")
    stub.change(0, missing=True)
    (world.folder / "go").touch()
    assert host.popen.wait(60) == 0, host.told()
    missing = "GPU 0 failed: nvidia-smi does not find it: No devices were found"
    assert attempts(world, alice, 1) == [("gpu1", "released", missing)]
    assert attempts(world, bob, 2) == [("gpu1", "released", "no GPU of this host works")]


@pytest.fixture
def pid_file(world: World) -> Iterator[Path]:
    """Of the process that stands for one that cannot be killed; the test's end kills it."""
    pid_file = world.folder / "pid"
    yield pid_file
    kill_if_left(pid_file)


def test_a_process_that_cannot_be_killed_takes_its_gpu_out(
    world: World, stub: StubGpus, pid_file: Path
) -> None:
    alice = world.user("alice")
    world.start_server()
    host = start(world, stub, script=stub_executor(world.folder))
    leaves = world.source(f"[ -e {pid_file} ] && exit\n" + UNKILLABLE.format(pid_file=pid_file))
    client = world.start_submit(alice, leaves)
    host.wait_until_told("No GPU of this host works", seconds=60)
    words = f"process {int(pid_file.read_text())} on it cannot be killed"
    released = [("gpu1", "released", f"GPU 0 failed: {words}")]
    wait_for(lambda: attempts(world, alice, 1) == released, "it is given back")
    wait_for(lambda: conditions(world) == [("quarantined", words)], "staff see it")
    kill_if_left(pid_file)
    host.wait_until_told("works again")
    assert client.popen.wait(60) == 0, client.told()
    assert host.stop() == 0


def begin(
    world: World, stub: StubGpus, count: int, script: Path = ROOT / "executor.py", **more: str
) -> Process:
    """Starts an executor, and does not wait until it is up."""
    host = Process(
        "gpu1", world.folder / "gpu1.log",
        ["/usr/bin/env", "python3", script, "--nproc-compile", 1, "--nproc-execute", count,
         "--auth", world.executor("gpu1"), "--scratch-dir", world.folder / "scratch",
         "--nvcc", stub.nvcc, "--sandbox", "none", "--kernel-log", stub.kernel_log],
        env={**world.environment, "PATH": stub.path, **more},
    )  # fmt: skip
    world.processes.append(host)
    return host


NOT_LOADED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def test_a_host_that_boots_before_its_driver_waits_for_it(world: World, stub: StubGpus) -> None:
    world.start_server()
    stub.says = NOT_LOADED
    stub.write()
    host = begin(world, stub, 2)
    host.wait_until_told("Waiting for the driver, up to 1")
    stub.says = ""
    stub.change(0, missing=True)
    host.wait_until_told("Not ready: nvidia-smi says: Unable to determine the device handle for")
    stub.change(0, missing=False)
    host.wait_until_told(" workers, queue ")
    assert host.told().count(NOT_LOADED) == 1
    wait_for(lambda: conditions(world) == [("ready", None)] * 2, "staff see it")
    assert "driver 580.00.00 has known vuln" in about(world, world.folder)["driver_warning"]
    assert "WARNING: driver 580.00.00 has known vulnerabilities" in host.told()
    assert host.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_host_that_waits_for_its_driver_stops_at_once(
    world: World, stub: StubGpus, number: signal.Signals
) -> None:
    stub.says = "No devices were found"
    stub.write()
    host = begin(world, stub, 1)
    host.wait_until_told("Waiting for the driver")
    host.send(number)
    assert host.popen.wait(30) == 0
    assert host.told().splitlines()[-1].endswith("Stopped while it was starting.")


def test_a_driver_that_does_not_come_up_ends_it_with_a_status_that_its_service_restarts(
    world: World, stub: StubGpus
) -> None:
    """With a script that waits for no time at all, and is the real one otherwise."""
    before, main, after = (ROOT / "executor.py").read_text().partition('if __name__ == "__main__":')
    script = world.folder / "executor-that-waits-for-no-time.py"
    script.write_text(before + "DRIVER_SECONDS = 0.0\n\n\n" + main + after)
    stub.says = NOT_LOADED
    stub.write()
    host = begin(world, stub, 1, script)
    assert host.popen.wait(30) == 75
    assert NOT_LOADED in host.told()
    assert len(host.told().splitlines()) == 1
    unit = (ROOT / "docs/gpu-hosts.md").read_text()
    assert "75" not in next(
        x for x in unit.splitlines() if x.startswith("RestartPreventExitStatus")
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES is '', and so gives"),
        ({"CUDA_VISIBLE_DEVICES": "7"}, "7 is the name of no GPU here"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "asks for more GPUs than there are (1)"),
    ],
)
def test_what_it_cannot_start_with_is_said_in_a_line(
    world: World, stub: StubGpus, environment: dict[str, str], words: str
) -> None:
    host = begin(world, stub, 2, **environment)
    assert host.popen.wait(30) == 2
    assert words in host.told()
    assert len(host.told().splitlines()) == 1


def test_gpus_of_several_architectures_are_compiled_for_all_of_them(
    world: World, stub: StubGpus
) -> None:
    stub.change(1, name="NVIDIA A100-SXM4-40GB", compute_cap="8.0")
    world.start_server()
    host = start(world, stub, execute=2)
    host.wait_until_told("1 x Stub GPU (sm_90), 1 x NVIDIA A100-SXM4-40GB (sm_80), ")
    host.wait_until_told("offers cuda x 2, stub x 1, a100 x 1, ")
    assert world.submit(world.user("alice"), world.source(WHERE)).status == 0
    told = about(world, world.folder)
    assert told["arch"] == "sm_80, sm_90a"
    assert told["offers"] == {"cuda": 2, "stub": 1, "a100": 1}
    assert host.stop() == 0


def test_two_executors_never_share_a_gpu(world: World, stub: StubGpus) -> None:
    world.start_server()
    start(world, stub, CUDA_VISIBLE_DEVICES="0")
    with pytest.raises(AssertionError, match="Another executor on this machine has GPU 0"):
        start(world, stub, name="gpu2")
    start(world, stub, name="gpu3", CUDA_VISIBLE_DEVICES="1")


def test_a_compiler_that_cannot_compile_for_the_gpu_is_said_at_the_start(
    world: World, stub: StubGpus
) -> None:
    world.start_server()
    stub.nvcc.write_text(
        stub.nvcc.read_text() + '\n[ "$src" = ./probe.cu ] && echo "nvcc fatal: no sm_90" && exit 1'
    )
    with pytest.raises(AssertionError, match=r"cannot compile for the GPUs here .*no sm_90"):
        start(world, stub)
