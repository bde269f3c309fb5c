"""The slot: what enforces an executor's limits and leaves no process behind. Real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, wait_for
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
LIMITS = {"log_bytes": 1000, "output_bytes": 100_000}


@pytest.fixture
def slot() -> Iterator[Any]:
    slot = executor.Slot()
    yield slot
    slot.close()


def shell(slot: Any, script: str, folder: Path, seconds: float = 30, **limits: int) -> Any:
    command = plain(["/bin/bash", "-c", script], folder, {"PATH": "/usr/bin:/bin"})
    return slot.run(command, seconds, {**LIMITS, **limits}, lambda: True)


def plain(argv: list[str], folder: Path, env: dict[str, str]) -> Any:
    """A command without a sandbox: what the slot itself does is the matter here."""
    return executor.Command([], argv, str(folder), env, {})


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid_file: Path) -> bool:
    return not alive(int(pid_file.read_text()))


@pytest.mark.parametrize(
    ("script", "exit_code", "signal_number", "log"),
    [
        ("echo out; echo err >&2", 0, None, b"out\nerr\n"),
        ("exit 3", 3, None, b""),
        ("exit 137", 137, None, b""),
        ("kill -9 $$", None, 9, b""),
        ("kill -SEGV $$", None, 11, b""),
        (r"printf '\xff\x00\x1b'", 0, None, b"\xff\x00\x1b"),
        ("cat", 0, None, b""),  # standard input is empty, not the slot's
        ("pwd; env | grep -v -e PWD -e SHLVL -e _=", 0, None, None),
    ],
)
def test_how_a_command_ended(
    slot: Any, tmp_path: Path, script: str, exit_code: Any, signal_number: Any, log: Any
) -> None:
    ended = shell(slot, script, tmp_path)
    assert (ended.why, ended.exit_code, ended.signal) == ("ended", exit_code, signal_number)
    expected = log if log is not None else f"{tmp_path}\nPATH=/usr/bin:/bin\n".encode()
    assert ended.log == expected


def test_a_slot_serves_one_after_another(slot: Any, tmp_path: Path) -> None:
    for number in range(20):
        assert shell(slot, f"echo {number}", tmp_path).log == f"{number}\n".encode()


def test_the_time_limit_ends_the_whole_group(slot: Any, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = shell(slot, "echo $$ >a; (echo $BASHPID >b; sleep 99) & sleep 99", tmp_path, 0.5)
    assert (ended.why, ended.signal) == ("time", 9)
    assert 0.5 <= ended.seconds < 10
    assert time.monotonic() - began < 10
    assert gone(tmp_path / "a")
    assert gone(tmp_path / "b")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 99 & echo $! >pid; echo done",
        "setsid sleep 99 & echo $! >pid; echo done",  # out of the group, holding the pipe
        "(setsid bash -c 'echo $$ >pid; trap \"\" TERM HUP; sleep 99' &) ; "
        "while [ ! -s pid ]; do sleep 0.01; done; echo done",  # a daemon: an orphan twice over
    ],
)
def test_what_a_program_leaves_behind_is_killed_and_does_not_count(
    slot: Any, tmp_path: Path, script: str
) -> None:
    began = time.monotonic()
    ended = shell(slot, script, tmp_path)
    assert (ended.why, ended.exit_code, ended.log) == ("ended", 0, b"done\n")
    assert time.monotonic() - began < 10
    assert gone(tmp_path / "pid")


def test_a_program_that_prints_without_end_is_stopped(slot: Any, tmp_path: Path) -> None:
    ended = shell(slot, "yes", tmp_path)
    assert ended.why == "output"
    assert len(ended.log) < 1100
    assert b"bytes left out" in ended.log


def test_a_long_log_keeps_its_head_and_its_tail(slot: Any, tmp_path: Path) -> None:
    ended = shell(slot, "seq 1 5000", tmp_path)
    assert ended.why == "ended"
    whole = b"".join(b"%d\n" % n for n in range(1, 5001))
    head, _, rest = ended.log.partition(b"\n[... ")
    note, _, tail = rest.partition(b" bytes left out ...]\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert (len(head), len(tail)) == (750, 250)
    assert int(note) == len(whole) - 1000


@pytest.mark.parametrize("size", [0, 1, 749, 750, 751, 999, 1000])
def test_a_log_that_fits_is_whole(slot: Any, tmp_path: Path, size: int) -> None:
    ended = shell(slot, f"head -c {size} /dev/zero", tmp_path)
    assert ended.log == b"\0" * size


def test_a_command_that_cannot_start_is_an_error_of_the_host(slot: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        slot.run(plain(["/no/such"], tmp_path, {}), 1, LIMITS, lambda: True)
    assert shell(slot, "echo still here", tmp_path).log == b"still here\n"


def test_kill_from_another_thread(slot: Any, tmp_path: Path) -> None:
    def kill_when_it_runs() -> None:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
        slot.kill()

    threading.Thread(target=kill_when_it_runs).start()
    ended = shell(slot, "echo $$ >pid; sleep 99", tmp_path)
    assert ended.why == "killed"
    assert gone(tmp_path / "pid")
    slot.kill()  # nothing runs: nothing happens
    assert shell(slot, "echo next", tmp_path).log == b"next\n"


def test_what_is_not_wanted_any_more_is_not_started(slot: Any, tmp_path: Path) -> None:
    command = plain(["/usr/bin/touch", str(tmp_path / "started")], tmp_path, {})
    assert slot.run(command, 9, LIMITS, lambda: False).why == "killed"
    assert not (tmp_path / "started").exists()


def test_a_slot_that_was_killed_is_replaced(slot: Any, tmp_path: Path) -> None:
    assert shell(slot, "kill -9 $PPID; sleep 9", tmp_path).why == "lost"
    assert shell(slot, "echo next", tmp_path).log == b"next\n"


# --- What SIGKILL does not end -------------------------------------------------------------

LEADERLESS = """
#include <pthread.h>
#include <unistd.h>
static void *stay(void *none) { for (;;) pause(); return none; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, stay, 0);
    pthread_exit(0);
}
"""


def leader_of_a_thread_that_stays(folder: Path) -> subprocess.Popen[bytes]:
    """A process that looks like a zombie, and is not dead."""
    (folder / "leaderless.c").write_text(LEADERLESS)
    compiled = ["gcc", "-pthread", "-o", folder / "leaderless", folder / "leaderless.c"]
    subprocess.run(compiled, check=True)
    return subprocess.Popen([folder / "leaderless"])


@pytest.mark.processes
def test_a_zombie_with_a_thread_that_runs_is_not_dead(tmp_path: Path) -> None:
    process = leader_of_a_thread_that_stays(tmp_path)
    wait_for(lambda: not alive(process.pid), "its first thread has ended")
    assert executor.is_running(process.pid)
    process.kill()
    wait_for(lambda: not executor.is_running(process.pid), "it is dead, and nobody has waited")
    assert Path(f"/proc/{process.pid}/stat").exists()
    process.wait()
    assert not executor.is_running(process.pid)


@pytest.mark.parametrize(
    ("leader", "threads", "runs"),
    [
        ("Z", "ZD", True),  # hangs in a driver, as NVIDIA's do on a GPU that is gone
        ("Z", "ZR", True),
        ("Z", "Z", False),
        ("Z", "ZXZ", False),
        ("Z", "", False),
        ("D", "D", True),
        ("S", "SS", True),
        ("X", "", False),
    ],
)
def test_states_of_threads_in_a_stub_of_proc(
    tmp_path: Path, leader: str, threads: str, runs: bool
) -> None:
    """Nobody can make a thread that hangs in a driver on purpose."""

    def write(folder: Path, pid: int, state: str) -> None:
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (odd) name)) {state} 1 {pid} {pid} 0 -1 4194560\n")

    write(tmp_path / "70", 70, leader)
    (tmp_path / "70/task").mkdir()
    for number, state in enumerate(threads):
        write(tmp_path / f"70/task/{70 + number}", 70 + number, state)
    assert executor.is_running(70, str(tmp_path)) is runs
    assert not executor.is_running(71, str(tmp_path))


def test_what_was_killed_may_take_as_long_as_its_gpu_may() -> None:
    """A driver that gives much memory back takes its time; the result counts nevertheless."""
    assert executor.GRACE_SECONDS >= executor.SETTLE_SECONDS


@pytest.mark.processes
def test_when_its_worker_is_killed_everything_dies(tmp_path: Path) -> None:
    """kill -9 of the process that holds the slot, while a daemon of the program runs."""
    script = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("executor", {str(ROOT / "executor.py")!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
argv = ["/bin/bash", "-c", "setsid sleep 99 & echo $! >b; echo $$ >a; sleep 99"]
command = module.Command([], argv, {str(tmp_path)!r}, {{"PATH": "/usr/bin:/bin"}}, {{}})
module.Slot().run(command, 99, {LIMITS!r}, lambda: True)
"""
    worker = subprocess.Popen([sys.executable, "-c", script])
    wait_for(lambda: (tmp_path / "a").exists() and (tmp_path / "a").read_text(), "it runs")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_for(lambda: gone(tmp_path / "a") and gone(tmp_path / "b"), "all are gone", seconds=5)
