"""The whole of it: real gunicorn with TLS, real executors, real nvcc, `submit.py` as a student
runs it, under every Python the two scripts support that is on this machine."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.support.gpus import StubGpus
from tests.support.processes import (
    HELLO,
    ROOT,
    World,
    pythons,
    side_by_side,
    wait_for,
)
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = pytest.mark.end_to_end

PRINTS_ITS_ARGUMENT = """#include <cstdio>
int main(int argc, char **argv) { printf("%s squared is %d\\n", argv[1], NUMBER * NUMBER); }
"""


@pytest.mark.once
@pytest.mark.parametrize("python", pythons(), ids=lambda p: Path(p).parents[1].name)
def test_a_cu_file_goes_in_and_its_output_comes_back(world: World, python: str) -> None:
    alice = world.user("alice")
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"), python=python)
    done = world.submit(alice, world.source(HELLO), f"python={python}")
    assert done.no_traceback().status == 0, done.err
    assert "--- program ---\nhello there\n" in done.out
    assert "job 1 succeeded" in done.out
    assert "gpu1" in done.out
    assert "Submitted" in done.err
    assert "compiling on gpu1" in done.err
    assert executor.stop() == 0
    assert not list((world.folder / "scratch/gpu1/spool").iterdir())
    assert not (world.folder / "scratch/gpu1/jobs").exists()


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "examples").glob("*.cu")))
def test_the_examples_say_something_sensible_without_a_gpu(world: World, name: str) -> None:
    alice = world.user("alice")
    world.start_server()
    world.start_executor(world.executor("gpu1"))
    done = world.submit(alice, ROOT / "examples" / name)
    assert done.status == 0, done.out + done.err
    assert "no GPU for this program here" in done.out


@pytest.mark.hardening
@pytest.mark.long(30)
def test_forty_submissions_from_ten_users_on_two_executors(tmp_path: Path) -> None:
    """40 right results, each user served in turn, 40 complete submissions in the audit log."""
    with World(tmp_path, TELERUN_MAX_QUEUED_PER_USER=4) as world:
        users = world.users(10)
        world.start_server()
        files = [
            world.source(PRINTS_ITS_ARGUMENT.replace("NUMBER", str(n)), f"prog{n}.cu")
            for n in range(40)
        ]
        clients = [world.start_submit(users[n % 10], files[n], n) for n in range(40)]
        for client in clients:
            client.wait_until_told("Submitted")
        executors = [
            world.start_executor(world.executor(name), compile=2, execute=2)
            for name in ("gpu1", "gpu2")
        ]
        for n, client in enumerate(clients):
            assert client.popen.wait(240) == 0, client.told()
            assert f"{n} squared is {n * n}\n" in client.told()
        lines = world.audit_lines()
        submitted = [line for line in lines if line["action"] == "submitted"]
        sources = sorted(line["request"]["source"] for line in submitted)
        assert sources == sorted(file.read_text() for file in files)
        owner = {line["job_id"]: line["username"] for line in submitted}
        served = [owner[line["job_id"]] for line in lines if line["action"] == "claimed"]
        for start in range(0, 40, 10):  # in each round, everyone once
            assert len(set(served[start : start + 10])) == 10, served
        assert sum(line["action"] == "finished" for line in lines) == 40
        assert [executor.stop() for executor in executors] == [0, 0]


def test_the_job_of_an_executor_that_is_killed_runs_on_another(tmp_path: Path) -> None:
    with World(tmp_path, TELERUN_LEASE_SECONDS=4, TELERUN_SWEEP_SECONDS=1) as world:
        alice = world.user("alice")
        world.start_server()
        stub = fake_nvcc(tmp_path, AS_SHELL)
        first = world.start_executor(world.executor("gpu1"), nvcc=stub)
        slow = f"echo $$ >{tmp_path}/pid; [ -e {tmp_path}/again ] || sleep 99; echo done"
        client = world.start_submit(alice, world.source(slow))
        pid = int(wait_for(lambda: (tmp_path / "pid").exists() and
                           (tmp_path / "pid").read_text(), "it runs"))  # fmt: skip
        (tmp_path / "again").touch()
        first.kill()
        killed = time.monotonic()
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "its program is dead", 1)
        world.start_executor(world.executor("gpu2"), nvcc=stub)
        assert client.popen.wait(60) == 0, client.told()
        assert time.monotonic() - killed < 4 + 1 + 10
        assert "again: gpu1 was lost" in client.told()
        status, _, job = world.request(alice, "GET", "/jobs/1")
        assert status == 200
        assert [(a["executor"], a["ending"]) for a in job["attempts"]] == [
            ("gpu1", "expired"),
            ("gpu2", "finished"),
        ]


def test_the_next_job_compiles_while_one_runs(world: World) -> None:
    users = world.users(2)
    world.start_server()
    stub = fake_nvcc(world.folder, AS_SHELL)
    world.start_executor(world.executor("gpu1"), nvcc=stub)
    first = world.start_submit(users[0], world.source(f"until [ -e {world.folder}/go ]; do sleep 0.05; done; echo one", "a.cu"))  # fmt: skip  # noqa: E501
    first.wait_until_told("running on gpu1")
    second = world.start_submit(users[1], world.source("echo two", "b.cu"))
    second.wait_until_told("compiled, waiting for a GPU")
    (world.folder / "go").touch()
    assert (first.popen.wait(30), second.popen.wait(30)) == (0, 0)


def test_an_executor_claims_only_what_it_has_room_for(world: World) -> None:
    users = world.users(4)
    world.start_server()
    stub = fake_nvcc(world.folder, AS_SHELL)
    world.start_executor(world.executor("gpu1"), nvcc=stub)
    script = f"until [ -e {world.folder}/go ]; do sleep 0.05; done"
    clients = [world.start_submit(user, world.source(script)) for user in users]
    for client in clients:
        client.wait_until_told("Submitted")
    wait_for(lambda: any("waiting for a GPU" in c.told() for c in clients), "one is compiled")
    states = [world.request(user, "GET", f"/jobs/{n}") for n, user in enumerate(users, 1)]
    jobs = [world.request(user, "GET", "/jobs")[2]["results"][0]["state"] for user in users]
    assert states
    assert sorted(jobs) == ["queued", "queued", "running", "running"]
    (world.folder / "go").touch()
    assert [client.popen.wait(60) for client in clients] == [0, 0, 0, 0]


def test_each_execution_worker_owns_one_gpu(world: World) -> None:
    """With a stub nvidia-smi that lists two GPUs: what a GPU does is not the matter here."""
    users = world.users(2)
    world.start_server()
    stub = StubGpus(world.folder, 2)
    uuids = [gpu["uuid"] for gpu in stub.gpus]
    executor = world.start_executor(
        world.executor("gpu1"), "--kernel-log", stub.kernel_log, compile=2, execute=2,
        **stub.options,
    )  # fmt: skip
    executor.wait_until_told("2 x Stub GPU (sm_90)")
    script = (
        f'echo "mine: $CUDA_VISIBLE_DEVICES"; touch {world.folder}/$CUDA_VISIBLE_DEVICES; '
        f"until [ -e {world.folder}/{uuids[0]} -a -e {world.folder}/{uuids[1]} ]; "
        "do sleep 0.05; done"
    )
    results = side_by_side(
        *(lambda u=user: world.submit(u, world.source(script)) for user in users)
    )
    assert [r.status for r in results] == [0, 0]
    owned = {line for r in results for line in r.out.splitlines() if line.startswith("mine")}
    assert owned == {f"mine: {uuid}" for uuid in uuids}
    about = json.loads(
        world.aside(
            "shell", "-v0", "-c",
            "import json; from accounts.models import Executor as E;"
            "print(json.dumps(E.objects.get().about))",
        ).out
    )  # fmt: skip
    assert [gpu["uuid"] for gpu in about["gpus"]] == uuids
    assert about["arch"] == "sm_90a"


def test_sigterm_finishes_what_runs_and_exits_0(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    script = f"until [ -e {world.folder}/go ]; do sleep 0.05; done; echo finished"
    client = world.start_submit(alice, world.source(script))
    client.wait_until_told("running on gpu1")
    executor.send(signal.SIGTERM)
    executor.wait_until_told("finishing those in hand")
    (world.folder / "go").touch()
    assert executor.popen.wait(30) == 0
    assert client.popen.wait(30) == 0
    assert "finished\n" in client.told()


def test_an_idle_executor_stops_at_once(world: World) -> None:
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"))
    time.sleep(1)  # its claim is held by now
    assert executor.stop(seconds=10) == 0


def test_a_second_sigterm_gives_the_job_back(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    stub = fake_nvcc(world.folder, AS_SHELL)
    executor = world.start_executor(world.executor("gpu1"), nvcc=stub)
    script = f"[ -e {world.folder}/again ] || sleep 99; echo finished"
    client = world.start_submit(alice, world.source(script))
    client.wait_until_told("running on gpu1")
    executor.send(signal.SIGTERM)
    executor.wait_until_told("finishing those in hand")
    (world.folder / "again").touch()
    assert executor.stop(seconds=30) == 0
    world.start_executor(world.executor("gpu2"), nvcc=stub)
    assert client.popen.wait(30) == 0
    _, _, job = world.request(alice, "GET", "/jobs/1")
    first = job["attempts"][0]
    assert (first["ending"], first["reason"]) == ("released", "the executor was stopped")


def test_ctrl_c_cancels_a_queued_job(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    client = world.start_submit(alice, world.source(HELLO))
    client.wait_until_told("next in the queue")
    assert client.stop(signal.SIGINT) == 130
    assert "Job 1 is cancelled" in client.told()
    assert world.request(alice, "GET", "/jobs/1")[2]["state"] == "cancelled"


def test_ctrl_c_leaves_a_running_job_and_attach_finds_it_again(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    script = f"until [ -e {world.folder}/go ]; do sleep 0.05; done; echo finished"
    client = world.start_submit(alice, world.source(script))
    client.wait_until_told("running on gpu1")
    assert client.stop(signal.SIGINT) == 130
    assert "--attach 1" in client.told()
    (world.folder / "go").touch()
    attached = world.submit(alice, "--attach", "1")
    assert attached.status == 0, attached.err
    assert "finished\n" in attached.out


def test_cancelling_a_running_job_kills_its_program(tmp_path: Path) -> None:
    """Long before a third of its lease is over."""
    with World(tmp_path, TELERUN_LEASE_SECONDS=600) as world:
        alice = world.user("alice")
        world.start_server()
        world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(tmp_path, AS_SHELL))
        client = world.start_submit(alice, world.source(f"echo $$ >{tmp_path}/pid; sleep 99"))
        client.wait_until_told("running on gpu1")
        wait_for((tmp_path / "pid").exists, "it runs")
        assert world.submit(alice, "--cancel", "1").status == 0
        assert client.popen.wait(30) == 5
        assert "was cancelled" in client.told()
        assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()


def test_a_job_that_waits_for_a_gpu_is_cancelled_while_another_has_it(world: World) -> None:
    alice, bob = world.user("alice"), world.user("bob")
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    long = world.start_submit(bob, world.source("sleep 99", "long.cu"))
    long.wait_until_told("running on gpu1")
    client = world.start_submit(alice, world.source("echo never", "short.cu"))
    client.wait_until_told("waiting for a GPU")
    assert world.submit(alice, "--cancel", "2").status == 0
    assert client.popen.wait(30) == 5
    assert "was cancelled" in client.told()
    assert long.popen.poll() is None


def test_override_pending_replaces_the_queued_job(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    first = world.start_submit(alice, world.source("echo first", "first.cu"))
    first.wait_until_told("next in the queue")
    refused = world.submit(alice, world.source("echo second", "second.cu"))
    assert refused.no_traceback().status == 3
    assert "job 1" in refused.err
    assert "--override-pending" in refused.err
    second = world.start_submit(alice, world.folder / "second.cu", "--override-pending")
    assert first.popen.wait(30) == 5
    assert "was replaced by your job 2" in first.told()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    assert second.popen.wait(30) == 0
    assert "second\n" in second.told()


def test_the_client_outlives_a_restart_of_the_server(world: World) -> None:
    alice = world.user("alice")
    world.start_server()
    client = world.start_submit(alice, world.source("echo survived"))
    client.wait_until_told("next in the queue")
    world.kill_server()
    client.wait_until_told("trying again")
    world.start_server()
    world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    assert client.popen.wait(60) == 0, client.told()
    assert "survived\n" in client.told()
