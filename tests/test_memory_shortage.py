"""The host is short of memory: whose it is. Stub meminfo files, real processes and slots."""

import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
GIB = 1 << 30


def meminfo(path: Path, available: int, nobodys: int = 0, **more: int) -> str:
    """A stub /proc/meminfo of a host with 64 GiB, its lines in their real order and form, of which
    `nobodys` bytes are in use that no line accounts for."""
    used = 8 * GIB + nobodys
    lines = {
        "MemTotal": 64 * GIB,
        "MemFree": 64 * GIB - used,
        "MemAvailable": available,
        "Buffers": GIB // 4,
        "Cached": 5 * GIB,
        "SwapCached": 0,
        "Active": 4 * GIB,
        "AnonPages": 2 * GIB,
        "Mapped": GIB,
        "Shmem": GIB // 8,
        "KReclaimable": GIB // 4,
        "Slab": GIB // 2,
        "KernelStack": GIB // 8,
        "PageTables": GIB // 8,
        "Percpu": 0,
        "Hugetlb": 0,
        **more,
    }
    path.write_text("".join(f"{name}: {size >> 10:>14} kB\n" for name, size in lines.items()))
    return str(path)


def test_pages_of_drivers_are_those_that_no_line_accounts_for(tmp_path: Path) -> None:
    path = tmp_path / "stub-meminfo"
    assert executor.uncounted_on_host(meminfo(path, GIB)) == 0
    assert executor.uncounted_on_host(meminfo(path, GIB, 7 * GIB)) == 7 * GIB
    # What the kernel lists twice (Shmem in Cached, KReclaimable in Slab) is subtracted once; what
    # only some kernels list is subtracted too.
    assert executor.uncounted_on_host(meminfo(path, GIB, 7 * GIB, Balloon=3 * GIB)) == 4 * GIB
    assert executor.uncounted_on_host(str(tmp_path / "none")) == 0


def test_this_hosts_own_memory_adds_up() -> None:
    total = executor.kernel_bytes("/proc/meminfo", "MemTotal")
    assert abs(executor.uncounted_on_host()) < total // 2


class Host:
    """Commands of one executor on a host whose memory is a stub file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "stub-meminfo"
        self._boards = executor.MemoryBoards()
        self.now(32 * GIB)

    def now(self, available: int, nobodys: int = 0) -> None:
        meminfo(self._file, available, nobodys)

    def start(self) -> tuple[Any, Any]:
        board = self._boards.next()
        return board, executor.Shortage(board, str(self._file))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def look(command: tuple[Any, Any], managed: int = 0, counted: int = GIB) -> str:
    """As a slot does it, with a limit of 4 GiB."""
    board, shortage = command
    held = executor.Held(counted, managed, 4 * GIB)
    board.write(held)
    return shortage.verdict(held, counted)


def test_a_host_with_memory_left_blames_nobody(host: Host) -> None:
    assert look(host.start(), managed=90 * GIB) == ""


def test_the_only_job_that_ran_when_memory_fell_has_it(host: Host) -> None:
    one = host.start()
    host.now(GIB, nobodys=30 * GIB)
    assert look(one) == "memory"
    assert one[1].lost == 30 * GIB


def test_what_the_host_lost_before_a_job_began_is_not_the_jobs(host: Host) -> None:
    host.now(3 * GIB, nobodys=30 * GIB)
    one = host.start()
    host.now(GIB, nobodys=31 * GIB)
    assert look(one) == "short"


def test_what_others_on_the_host_took_is_not_the_jobs(host: Host, tmp_path: Path) -> None:
    """Their memory is accounted for: it is anonymous, or cached."""
    one = host.start()
    meminfo(tmp_path / "stub-meminfo", GIB, 30 * GIB, AnonPages=32 * GIB)
    assert look(one) == "short"


def test_of_several_the_one_whose_managed_memory_can_be_it(host: Host) -> None:
    one, two, three = host.start(), host.start(), host.start()
    host.now(5 * GIB)
    assert [look(one), look(two, managed=90 * GIB), look(three, managed=GIB)] == ["", "", ""]
    host.now(GIB + GIB // 2, nobodys=30 * GIB)
    assert look(one) == ""  # the other goes first
    assert look(three, managed=GIB) == ""
    assert look(two, managed=90 * GIB) == "memory"
    two[0].clear()
    host.now(30 * GIB)
    assert [look(one), look(three, managed=GIB)] == ["", ""]


def test_of_two_that_can_be_it_the_larger_is_given_back_first(host: Host) -> None:
    one, two = host.start(), host.start()
    look(one, managed=50 * GIB)
    look(two, managed=90 * GIB)
    host.now(GIB + GIB // 2, nobodys=30 * GIB)
    assert look(one, managed=50 * GIB) == ""
    assert look(two, managed=90 * GIB) == "short"
    two[0].clear()
    assert look(one, managed=50 * GIB) == "memory"  # it is still short, and this one is left


def test_nobody_waits_for_a_suspect_when_hardly_anything_is_left(host: Host) -> None:
    one, two = host.start(), host.start()
    look(two, managed=90 * GIB)
    host.now(GIB // 2, nobodys=30 * GIB)
    assert look(one) == "short"


def test_nobody_waits_for_a_suspect_for_ever(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "PATIENCE_SECONDS", -1.0)
    one, two = host.start(), host.start()
    look(two, managed=90 * GIB)
    host.now(GIB + GIB // 2, nobodys=30 * GIB)
    assert look(one) == "short"


def test_a_board_of_ones_own_has_no_others() -> None:
    executor.NO_BOARD.write(executor.Held(1, 2, 3))
    assert executor.NO_BOARD.others() == []


def test_managed_memory_is_told_by_the_file_that_it_is_mapped_from(tmp_path: Path) -> None:
    """A stub of the driver's file; the mapping and /proc are real."""
    assert executor.managed(os.getpid()) == 0
    stub = tmp_path / "nvidia-uvm"
    stub.write_bytes(bytes(1 << 20))
    with stub.open("r+b") as file, mmap.mmap(file.fileno(), 1 << 20):
        assert executor.managed(os.getpid()) == 1 << 20
    assert executor.managed(os.getpid()) == 0
    assert executor.managed(1 << 30) == 0  # no such process


@pytest.fixture
def boards(tmp_path: Path) -> Any:
    return executor.MemoryBoards()


@pytest.fixture
def slot(boards: Any) -> Iterator[Any]:
    slot = executor.Slot(None, None, boards.next())
    yield slot
    slot.close()


LIMITS = {"log_bytes": 1000, "output_bytes": 1000, "memory_bytes": 1 << 30, "processes": 64}


class Listener(executor.LiveOutput):
    """Is told what the command prints, which is that it runs."""

    def __init__(self, hear: Callable[[], None]) -> None:
        self._hear = hear

    def begin(self, ask: Callable[[int], None]) -> None:
        self._ask = ask
        ask(0)

    def add(self, piece: Any) -> None:
        self._hear()
        self._ask(piece.offset + len(piece.data))


def test_slots_know_of_each_other_and_of_those_that_were_killed(
    tmp_path: Path, boards: Any, slot: Any
) -> None:
    watcher, seen = boards.next(), tmp_path / "seen"

    def hear() -> None:
        if any(held.limit == 1 << 30 and held.counted > 0 for held in watcher.others()):
            seen.touch()

    def run(script: str) -> Any:
        command = executor.Command([], ["/bin/sh", "-c", script], "/", {}, {})
        return slot.run(command, 120, LIMITS, lambda: True, Listener(hear))

    until_seen = f"until [ -e {seen} ]; do echo; sleep 0.1; done"
    assert run(until_seen).why == "ended"
    assert watcher.others() == []
    seen.unlink()
    assert run(f"{until_seen}; kill -9 $PPID").why == "lost"
    assert watcher.others() == []


def test_a_program_has_no_way_to_the_board(slot: Any) -> None:
    told = [sys.executable, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))"]
    ended = slot.run(executor.Command([], told, "/", {}, {}), 20, LIMITS, lambda: True)
    alone = subprocess.run(told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert ended.log == alone.stdout


@pytest.mark.processes
def test_beside_a_cgroup_the_slot_looks_too(tmp_path: Path) -> None:
    """A stub of a cgroup, which like the real one says nothing of what a driver takes."""
    for name, text in (("controllers", "cpu memory pids"), ("subtree_control", ""), ("procs", "")):
        (tmp_path / f"cgroup.{name}").write_text(text)
    group = executor.Cgroups(tmp_path).make()
    (group / "memory.events").write_text("oom_kill 0\n")
    hog = [sys.executable, "-c", "import time; b = bytearray(150 << 20); time.sleep(60)"]
    limits = {**LIMITS, "memory_bytes": 100 << 20}
    with closing(executor.Slot(None, group)) as slot:
        ended = slot.run(executor.Command([], hog, "/", {}, {}), 60, limits, lambda: True)
    assert ended.why == "memory"
    assert ended.memory_bytes > 100 << 20


@pytest.mark.processes
@pytest.mark.parametrize(("nobodys", "why"), [(30 * GIB, "memory"), (0, "short")])
def test_a_program_under_which_the_hosts_memory_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobodys: int, why: str
) -> None:
    """A real slot and program. The host's memory is a stub file, which the program changes."""
    before, after = tmp_path / "stub-meminfo", tmp_path / "after"
    meminfo(before, 32 * GIB)
    meminfo(after, GIB, nobodys)
    stub, asks = tmp_path / "stub_executor.py", 'MEMINFO = "/proc/meminfo"'
    script = (ROOT / "executor.py").read_text()
    assert asks in script
    stub.write_text(script.replace(asks, f"MEMINFO = {str(before)!r}"))
    monkeypatch.setattr(executor, "__file__", str(stub))
    falls = ["/bin/sh", "-c", f"sleep 0.5; mv {after} {before}; sleep 60"]
    with closing(executor.Slot(None, None, executor.MemoryBoards().next())) as slot:
        ended = slot.run(executor.Command([], falls, "/", {}, {}), 90, LIMITS, lambda: True)
    assert ended.why == why
    assert (ended.memory_bytes > 30 * GIB - 1) is (why == "memory")


def test_where_a_gpus_own_memory_is_the_hosts_too_nobody_is_blamed(tmp_path: Path) -> None:
    """On Grace it is a node without CPUs, and what is taken there counts as in use."""
    nodes = tmp_path / "node"
    nodes.mkdir()
    (nodes / "has_cpu").write_text("0\n")
    for with_memory, verdict in (("0\n", "memory"), ("0,2\n", "short")):
        (nodes / "has_memory").write_text(with_memory)
        path = meminfo(tmp_path / "stub-meminfo", 32 * GIB)
        shortage = executor.Shortage(executor.NO_BOARD, path, str(nodes))
        meminfo(tmp_path / "stub-meminfo", GIB, 30 * GIB)
        assert shortage.verdict(executor.Held(GIB, 0, 4 * GIB), GIB) == verdict


def test_what_slots_tell_each_other_is_on_no_disk() -> None:
    """One that a program has filled would end the slot in the middle of a job."""
    board = executor.MemoryBoards().next()
    assert os.readlink(f"/proc/self/fd/{board.descriptor}").startswith("/memfd:")
    board.write(executor.Held(1, 2, 3))
