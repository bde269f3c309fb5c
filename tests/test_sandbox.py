"""The sandbox itself: what it says when it cannot be, and that nothing of it outlives its owner."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import HELLO, NVCC, ROOT, World, has_sandbox, run, wait_for
from tests.support.sandbox import bubblewrap, own_uids, processes_of
from tests.support.scripts import load
from tests.support.stubs import fake_nvcc

pytestmark = pytest.mark.once
executor = load("executor")
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 10_000, "output_bytes": 1 << 20}
UID_BASE = own_uids("sandbox")
USER = 61181  # no account has it
AS_ROOT = os.getuid() == 0
KILLS = int(os.environ.get("TELERUN_KILLS", "25"))


def options(*more: str) -> Any:
    return executor.parse(
        ["--nproc-compile", "1", "--nproc-execute", "1", "--sandbox-uid-base", str(UID_BASE), *more]
    )


@pytest.fixture
def box(tmp_path: Path) -> Any:
    need("bubblewrap", has_sandbox())
    return executor.Bubblewrap(options(), executor.find_nvcc(NVCC), tmp_path / "sandbox")


@pytest.fixture
def slot(box: Any) -> Iterator[Any]:
    slot = executor.Slot(box)
    yield slot
    slot.close()


# --- What goes in and what comes out -----------------------------------------------------


def build(slot: Any, box: Any, folder: Path, script: str, **limits: int) -> tuple[Any, Path]:
    """Runs a shell script in the compiler's place, in the sandbox; its end, and its product."""
    shell = ["/bin/sh", "-c", script]
    command = box.compiler(folder, {"prog.cu": "the source"}, shell, {**LIMITS, **limits})
    return slot.run(command, 20, {**LIMITS, **limits}, lambda: True), folder / "program"


def test_the_product_comes_out(slot: Any, box: Any, tmp_path: Path) -> None:
    ended, product = build(slot, box, tmp_path, "cat prog.cu prog.cu >/tmp/program")
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert product.read_text() == "the sourcethe source"
    assert ended.cpu_seconds > 0
    assert 0 < ended.memory_bytes < 64 << 20


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "ln -s /etc/ld.so.cache /tmp/program",
        "ln -s /job/init /tmp/program",
        "mkfifo /tmp/program",
        "mkdir /tmp/program",
        "ln -s /dev/zero /tmp/program",
    ],
)
def test_a_product_that_is_no_plain_file_stays_inside(
    slot: Any, box: Any, tmp_path: Path, script: str
) -> None:
    ended, product = build(slot, box, tmp_path, script)
    assert (ended.why, ended.exit_code) == ("ended", 0)
    assert product.read_bytes() == b""


def test_who_would_change_the_product_is_gone_first(slot: Any, box: Any, tmp_path: Path) -> None:
    script = "(while :; do echo evil >/tmp/program; done) & sleep 0.2"
    ended, product = build(slot, box, tmp_path, script)
    assert ended.exit_code == 0
    assert product.read_bytes() in (b"", b"evil\n")


def test_how_a_command_ended_is_told_apart(slot: Any, box: Any, tmp_path: Path) -> None:
    ends = []
    for n, script in enumerate(["exit 137", "kill -9 $$", "kill -9 -1; exit 5"]):
        (tmp_path / str(n)).mkdir()
        ended, _ = build(slot, box, tmp_path / str(n), script)
        ends.append((ended.why, ended.exit_code, ended.signal))
    assert ends == [("ended", 137, None), ("ended", None, 9), ("ended", 5, None)]


def test_a_file_may_not_be_larger_than_the_disk(slot: Any, box: Any, tmp_path: Path) -> None:
    script = "head -c 3000000 /dev/zero >/tmp/program"
    ended, _ = build(slot, box, tmp_path, script, disk_bytes=1 << 20)
    assert ended.exit_code or ended.signal


def test_a_bubblewrap_without_sizes_leaves_files_to_the_limit_on_memory(
    box: Any, tmp_path: Path
) -> None:
    """As on Ubuntu 22.04, whose 0.6 knows no --size."""
    box._sized = False
    slot = executor.Slot(box)
    script = "head -c 200000000 /dev/zero >/tmp/hog; sleep 9"
    ended, _ = build(slot, box, tmp_path, script, memory_bytes=64 << 20)
    slot.close()
    assert ended.why == "memory"


def test_empty_files_without_end_count_as_memory(slot: Any, box: Any, tmp_path: Path) -> None:
    script = "i=0; while :; do i=$((i + 1)); : >/tmp/$i; done"
    ended, _ = build(slot, box, tmp_path, script, memory_bytes=32 << 20)
    assert ended.why == "memory"


def test_a_program_that_held_too_much_for_a_moment_is_told_so(
    slot: Any, box: Any, tmp_path: Path
) -> None:
    """Between two looks, for some of them: the kernel's account of it has it."""
    script = "dd if=/dev/zero of=/dev/null bs=80M count=1"
    for n in range(6):
        (tmp_path / str(n)).mkdir()
        ended, _ = build(slot, box, tmp_path / str(n), script, memory_bytes=64 << 20)
        assert ended.why == "memory"
        assert ended.memory_bytes > 64 << 20


def test_a_host_without_memory_is_nobodys_mistake(
    box: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it: a program that has little of it itself is not told that it took too much."""
    stub = tmp_path / "stub_executor.py"  # no host has enough for it
    script, asks = (ROOT / "executor.py").read_text(), '"MemAvailable") < floor'
    assert asks in script
    stub.write_text(script.replace(asks, '"MemAvailable") < 1 << 60'))
    monkeypatch.setattr(executor, "__file__", str(stub))
    slot = executor.Slot(box)
    ended, _ = build(slot, box, tmp_path, "sleep 20")
    slot.close()
    assert ended.why == "short"
    attempt = StubAttempt()
    assert not executor.has_finished(attempt, ended)
    assert attempt.stopped == ["the host was short of memory"]


class StubAttempt:
    """Notes why it is given back."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def stop(self, reason: str, counts: bool = True) -> None:
        assert not counts
        self.stopped.append(reason)


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to give uids to slots")
def test_two_slots_have_two_uids_and_a_third_executor_others(box: Any, tmp_path: Path) -> None:
    other = executor.Bubblewrap(options(), executor.find_nvcc(NVCC), tmp_path / "other")
    slots = [executor.Slot(box), executor.Slot(box), executor.Slot(other)]
    told = []
    for n, slot in enumerate(slots):
        (tmp_path / str(n)).mkdir()
        ended, _ = build(slot, [box, box, other][n], tmp_path / str(n), "id -u")
        told.append(int(ended.log))
        slot.close()
    assert len(set(told)) == 3
    assert all(UID_BASE <= uid < UID_BASE + executor.SANDBOX_UIDS for uid in told)


# --- It dies with its owner --------------------------------------------------------------

OWNER = f"""
import importlib.util, os, pathlib, sys
spec = importlib.util.spec_from_file_location("executor", {str(ROOT / "executor.py")!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
options = module.parse(["--nproc-compile", "1", "--nproc-execute", "1",
                        "--sandbox-uid-base", {str(UID_BASE)!r}])
box = module.Bubblewrap(options, "/usr/bin/true", pathlib.Path(sys.argv[1]) / "sandbox")
slot = module.Slot(box)
limits = {LIMITS!r}
folder = pathlib.Path(sys.argv[1])
shell = ["/bin/sh", "-c", "setsid sleep 99 & sleep 99"]
command = box.compiler(folder, {{"prog.cu": "x"}}, shell, limits)
none = pathlib.Path("/none")
slot.run(box.check(none, none, "/bin/true", None), 20, limits, lambda: True)  # it is up
print(slot._process.pid, flush=True)
slot.run(command, 99, limits, lambda: True)
slot.run(command, 0.1, limits, lambda: True)
"""


def sandboxes(uids: range) -> list[str]:
    return [line for line in processes_of(uids) if "--slot" not in line]


@pytest.mark.hardening
@pytest.mark.long(14)
@pytest.mark.processes
@pytest.mark.skipif(not AS_ROOT, reason="finds what is left by the uids, which root gives out")
@pytest.mark.parametrize("whom", ["executor", "slot"])
def test_kill_9_at_the_moment_of_a_spawn_leaves_no_sandbox(tmp_path: Path, whom: str) -> None:
    """TELERUN_KILLS=500 is the long version. The executor dies, or its slot by itself."""
    need("bubblewrap", has_sandbox())
    uids = range(UID_BASE, UID_BASE + 4)
    alive = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout
        slot_pid = int(owner.stdout.readline())
        time.sleep(random.uniform(0, 0.02 if number % 2 else 0.005))
        alive += len(sandboxes(uids)) > 0
        os.kill(owner.pid if whom == "executor" else slot_pid, signal.SIGKILL)
        wait_for(lambda: not sandboxes(uids), f"nothing is left: {processes_of(uids)}", 5)
        owner.kill()
        owner.wait()
        owner.stdout.close()
    assert alive, "never was a sandbox there to be killed"


# --- No sandbox, no programs -------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for programs that the sandbox's uid can reach, unlike a test's own."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-bin-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def without_bubblewrap(place: Path) -> str:
    """A PATH with everything but bwrap."""
    for folder in ("/bin", "/usr/bin", "/usr/local/bin"):
        for program in Path(folder).iterdir():
            if program.name != "bwrap" and not (place / program.name).is_symlink():
                (place / program.name).symlink_to(program)
    return str(place)


def start(world: World, path: str, nvcc: str | Path = NVCC) -> Any:
    argv = [
        sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1,
        "--auth", world.executor("gpu1"), "--scratch-dir", world.folder / "scratch", "--no-gpu",
        "--nvcc", nvcc,
    ]  # fmt: skip
    return run(argv, env={**world.environment, "PATH": path})


def test_without_bubblewrap_the_message_says_what_to_install(world: World, place: Path) -> None:
    done = start(world, without_bubblewrap(place)).no_traceback()
    assert done.status == 2
    assert "apt install bubblewrap" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_bubblewrap_that_may_make_no_namespaces_is_refused(world: World, place: Path) -> None:
    """A stub that fails as the real one does on Ubuntu 24.04."""
    path = without_bubblewrap(place)
    stub = place / "bwrap"
    stub.write_text(
        '#!/bin/sh\n[ "$1" = --help ] && echo --perms\n'
        "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n"
    )
    stub.chmod(0o755)
    done = start(world, path).no_traceback()
    assert done.status == 2
    assert "setting up uid map: Permission denied" in done.err
    assert "no program runs without it" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_token_that_programs_could_read_is_refused(world: World) -> None:
    """As an ordinary user's would be that lies in a folder shown in the sandbox."""
    need("bubblewrap", has_sandbox())
    auth = world.executor("gpu1")
    shown = world.folder / "shown"
    shown.mkdir()
    auth = Path(shutil.move(auth, shown / "auth.json"))
    auth.chmod(0o644)
    argv = [
        sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1,
        "--no-gpu", "--auth", auth, "--scratch-dir", world.folder / "scratch",
        "--nvcc", NVCC, "--sandbox-bind", shown,
    ]  # fmt: skip
    done = run(argv, env=world.environment).no_traceback()
    assert done.status == 2
    assert f"{auth} can be read in the sandbox" in done.err


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to become another user")
def test_a_scratch_folder_that_programs_could_read_is_refused(world: World, place: Path) -> None:
    """As an ordinary user's would be that lies in a folder shown in the sandbox."""
    need("bubblewrap", has_sandbox())
    need("/usr/bin/python3", Path("/usr/bin/python3").exists())
    nvcc = fake_nvcc(place)
    auth = json.loads(world.executor("gpu1").read_text())
    (place / "auth.json").write_text(json.dumps({**auth, "certificate": "server.cert"}))
    (place / "auth.json").chmod(0o600)
    for file in (ROOT / "executor.py", world.data / "server.cert"):
        shutil.copy(file, place)
    for path in (place, *place.iterdir()):
        os.chown(path, USER, USER)
    done = subprocess.run(
        ["/usr/bin/python3", place / "executor.py", "--nproc-compile", "1", "--nproc-execute", "1",
         "--no-gpu", "--nvcc", nvcc, "--sandbox-bind", place],
        user=USER, group=USER, extra_groups=[], cwd=place, env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "with the jobs of others, can be read in the sandbox; choose another" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_when_bubblewrap_goes_away_no_program_runs_and_the_host_stops(
    world: World, place: Path
) -> None:
    need("bubblewrap", has_sandbox())
    mine = Path(shutil.copy(str(bubblewrap()), place / "bwrap"))
    alice = world.user("alice")
    world.start_server()
    path = f"{place}:{world.environment['PATH']}"
    host = world.start_executor(world.executor("gpu1"), PATH=path, sandbox="bubblewrap")
    assert world.submit(alice, world.source(HELLO)).status == 0
    mine.unlink()
    client = world.start_submit(alice, world.source(HELLO))
    assert host.popen.wait(60) == 2
    assert "The sandbox does not work, and no program runs without it" in host.told()
    world.start_executor(world.executor("gpu2"))
    assert client.popen.wait(60) == 0, client.told()
    _, _, job = world.request(alice, "GET", "/jobs/2")
    endings = [(a["executor"], a["ending"]) for a in job["attempts"]]
    assert endings == [("gpu1", "released"), ("gpu2", "finished")]


def test_a_job_that_breaks_its_own_sandbox_does_not_stop_the_host(
    tmp_path: Path, place: Path
) -> None:
    """With a stub in front of the real bubblewrap that fails for one file name."""
    need("bubblewrap", has_sandbox())
    stub = place / "bwrap"
    stub.write_text(
        '#!/bin/sh\ncase "$*" in *evil.cu*) echo "bwrap: cannot" >&2; exit 1;; esac\n'
        f'exec {bubblewrap()} "$@"\n'
    )
    stub.chmod(0o755)
    with World(tmp_path, TELERUN_MAX_ATTEMPTS=1) as world:
        alice = world.user("alice")
        world.start_server()
        path = f"{place}:{world.environment['PATH']}"
        host = world.start_executor(world.executor("gpu1"), PATH=path, sandbox="bubblewrap")
        assert world.submit(alice, world.source(HELLO, "evil.cu")).status == 5
        assert world.submit(alice, world.source(HELLO, "good.cu")).status == 0
        assert "the host's sandbox failed: bwrap: cannot" in host.told()
        assert host.stop() == 0


def test_sandbox_none_is_said_aloud(world: World) -> None:
    world.start_server()
    host = world.start_executor(
        world.executor("gpu1"), nvcc=fake_nvcc(world.folder), sandbox="none"
    )
    host.wait_until_told("WARNING: --sandbox none")


@pytest.mark.parametrize("arguments", [["--sandbox", "no"], ["--sandbox-uid-base", "0"]])
def test_arguments(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)


def test_a_gpu_is_one_executors_alone() -> None:
    gpu = executor.Gpu("0", f"GPU-{os.getpid()}", "Stub", "sm_90", "1.0")
    with (
        executor.lock_gpu(gpu),
        pytest.raises(executor.BadSetup, match="Another executor on this machine has GPU 0"),
    ):
        executor.lock_gpu(gpu)
    executor.lock_gpu(gpu).close()


# --- GPUs: the driver's files as it lists them, in a stub tree ---------------------------


def stub_driver(root: Path) -> None:
    """Two GPUs whose device numbers are not their order on the bus, the second one split (MIG)."""
    for bus, uuid, minor in (("0000:01:00.0", "GPU-aaaa", 1), ("0000:02:00.0", "GPU-bbbb", 0)):
        folder = root / "proc/driver/nvidia/gpus" / bus
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            f"Model: \t\t Stub\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
        )
    for place, minor in (("gi1", 12), ("gi1/ci0", 13), ("gi2", 21), ("gi2/ci0", 22)):
        part = root / "proc/driver/nvidia/capabilities/gpu0/mig" / place
        part.mkdir(parents=True)
        (part / "access").write_text(f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\n")
    (root / "dev/nvidia-caps").mkdir(parents=True)
    capabilities = [f"nvidia-caps/nvidia-cap{minor}" for minor in (12, 13, 21, 22)]
    shared = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
    for name in (*shared, "nvidia0", "nvidia1", *capabilities):
        (root / "dev" / name).touch()


def test_a_program_sees_the_files_of_its_own_gpu_alone(tmp_path: Path) -> None:
    stub_driver(tmp_path)

    def nodes(uuid: str, **part: str) -> list[str]:
        gpu = executor.Gpu("0", uuid, "Stub", "sm_90", "1.0", **part)
        return executor.device_nodes(gpu, tmp_path)

    shared = ["/dev/nvidiactl", "/dev/nvidia-uvm"]  # nvidia-uvm-tools is there and not needed
    assert nodes("GPU-aaaa") == [*shared, "/dev/nvidia1"]
    assert nodes("GPU-bbbb") == [*shared, "/dev/nvidia0"]
    assert nodes("MIG-1", whole="GPU-bbbb", instance="gi2/ci0") == [
        *shared,
        "/dev/nvidia0",
        "/dev/nvidia-caps/nvidia-cap21",
        "/dev/nvidia-caps/nvidia-cap22",
    ]
    with pytest.raises(executor.BadSetup, match="does not say which device files are those of MIG"):
        nodes("MIG-3", whole="GPU-bbbb", instance="gi3/ci0")
    with pytest.raises(executor.BadSetup, match="no GPU GPU-cccc"):
        nodes("GPU-cccc")


# --- Cgroups: the files of one, in a stub tree; a real one needs a machine that lends them -


def stub_cgroup(folder: Path) -> Path:
    for name, text in (("controllers", "cpu memory pids"), ("subtree_control", ""), ("procs", "")):
        (folder / f"cgroup.{name}").write_text(text)
    return folder


def test_a_slot_gets_a_cgroup_with_the_limits_of_its_job(tmp_path: Path) -> None:
    cgroups = executor.Cgroups(stub_cgroup(tmp_path))
    assert cgroups.about() == "cgroup v2"
    assert (tmp_path / "telerun-executor/cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = cgroups.make()
    assert (group / "memory.swap.max").read_text() == "0"
    cgroups.limit(group, {"memory_bytes": 1 << 30, "processes": 100})
    assert int((group / "memory.max").read_text()) == (1 << 30) + (32 << 20)
    assert int((group / "pids.max").read_text()) == 108
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert cgroups.kills(group) == 2


@pytest.mark.processes
def test_what_the_kernel_killed_for_memory_has_that_outcome(tmp_path: Path) -> None:
    group = executor.Cgroups(stub_cgroup(tmp_path)).make()
    events = group / "memory.events"
    events.write_text("oom_kill 1\n")
    slot = executor.Slot(None, group)
    limits = {**LIMITS, "memory_bytes": 1 << 30}

    def run_shell(script: str) -> Any:
        command = executor.Command([], ["/bin/sh", "-c", script], "/", {}, {})
        return slot.run(command, 20, limits, lambda: True)

    assert run_shell("exit 3").why == "ended"
    assert int((group / "cgroup.procs").read_text()) == slot._process.pid
    assert run_shell(f"echo oom_kill 2 >{events}; kill -9 $$").why == "memory"
    shutil.rmtree(group)
    group.mkdir()
    slot.close()
    assert not group.exists()


def test_without_a_cgroup_to_split_the_slot_looks_itself(tmp_path: Path) -> None:
    stub_cgroup(tmp_path)
    (tmp_path / "cgroup.controllers").write_text("hugetlb")
    for group in (None, tmp_path, tmp_path / "none"):
        cgroups = executor.Cgroups(group)
        assert (cgroups.about(), cgroups.make()) == ("rlimits and a watchdog", None)


@pytest.mark.parametrize(
    ("total", "available", "short"),
    [
        (8 << 20, 300000, True),
        (8 << 20, 500000, False),
        (64 << 20, 2 << 20, False),
        (64 << 20, 2000000, True),
    ],
)
def test_a_host_is_short_of_memory_below_5_percent_or_2_gib(
    tmp_path: Path, total: int, available: int, short: bool
) -> None:
    meminfo = tmp_path / "stub-meminfo"
    meminfo.write_text(f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n")
    assert executor.host_is_short(str(meminfo)) is short
    assert not executor.host_is_short(str(tmp_path / "none"))
