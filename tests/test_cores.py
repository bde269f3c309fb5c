"""The CPU among the programs of a host: cores near their GPUs, equal shares, in stub trees."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


class StubSys:
    """A stub /sys of a host with some nodes, each core of which shows two CPUs, numbered as Linux
    does on x86: first one of each core, then the other."""

    def __init__(self, root: Path, nodes: int, cores: int, threads: int = 2) -> None:
        self._root, self.count = root, nodes * cores
        for node in range(nodes):
            first = [f"{t * self.count + node * cores}-{t * self.count + (node + 1) * cores - 1}"
                     for t in range(threads)]  # fmt: skip
            write(root / f"devices/system/node/node{node}/cpulist", ",".join(first))
            for core in range(node * cores, (node + 1) * cores):
                siblings = [core + t * self.count for t in range(threads)]
                for cpu in siblings:
                    folder = root / f"devices/system/cpu/cpu{cpu}/topology"
                    write(folder / "thread_siblings_list", ",".join(map(str, siblings)))
        self.cpus = set(range(self.count * threads))

    def gpu(self, bus: str, node: int, cpus: str) -> str:
        """A GPU, by the place that nvidia-smi says."""
        folder = self._root / "bus/pci/devices" / bus.lower()[4:]
        write(folder / "numa_node", str(node))
        write(folder / "local_cpulist", cpus)
        return bus

    def cores(self, allowed: set[int] | None = None) -> Any:
        return executor.Cores(self.cpus if allowed is None else allowed, self._root)


@pytest.fixture
def two_nodes(tmp_path: Path) -> StubSys:
    """Two of 16 cores, 64 CPUs, as with two EPYC or Xeon of today, only smaller."""
    return StubSys(tmp_path, 2, 16)


def eight(sys: StubSys) -> list[str]:
    """As on a DGX or HGX: four on each node."""
    near = ["0-15,32-47", "16-31,48-63"]
    buses = ["1B", "43", "52", "61", "9D", "C3", "D1", "DF"]
    return [sys.gpu(f"00000000:{bus}:00.0", n // 4, near[n // 4]) for n, bus in enumerate(buses)]


def test_eight_gpus_have_cores_of_their_own_on_their_node(two_nodes: StubSys) -> None:
    shares = two_nodes.cores().shares(eight(two_nodes), 3)
    assert sum(map(len, shares)) == len(set().union(*shares))  # no CPU is two programs'
    for number, cpus in enumerate(shares):
        node = set(range(16)) | set(range(32, 48)) if number < 4 else (
            set(range(16, 32)) | set(range(48, 64)))  # fmt: skip
        assert cpus <= node
        assert len(cpus) == 2 * 3  # three whole cores; the others are left
        assert {(cpu + 32) % 64 for cpu in cpus} == cpus  # both CPUs of each core
    left = two_nodes.cpus - set().union(*shares)
    assert len(left) >= 2 * 3


def test_gpus_of_a_crowded_node_have_no_fewer_than_others(two_nodes: StubSys) -> None:
    buses = [*eight(two_nodes)[:3], eight(two_nodes)[7]]
    shares = two_nodes.cores().shares(buses, 3)
    assert [len(cpus) for cpus in shares] == [2 * 4] * 4


def test_of_what_the_executor_may_use_alone(two_nodes: StubSys) -> None:
    """As with taskset, or a cgroup's cpuset: Slurm gives some cores of a node."""
    buses = eight(two_nodes)[:2]
    allowed = {*range(8), *range(32, 40)}
    shares = two_nodes.cores(allowed).shares(buses, 2)
    assert set().union(*shares) <= allowed
    assert [len(cpus) for cpus in shares] == [6, 6]


def test_a_gpu_whose_node_the_kernel_does_not_know_is_spread(two_nodes: StubSys) -> None:
    known = two_nodes.gpu("00000000:01:00.0", 0, "0-15,32-47")
    unknown = [two_nodes.gpu(f"00000000:0{n}:00.0", -1, "0-63") for n in (2, 3)]
    missing = "00000000:0F:00.0"
    cores = two_nodes.cores()
    assert [cores.near(bus) for bus in (known, *unknown, missing)] == [0, -1, -1, -1]
    shares = cores.shares([known, *unknown, missing], 0)
    assert sum(map(len, shares)) == len(set().union(*shares)) == 64


@pytest.mark.parametrize(
    ("nodes", "cores", "gpus", "told_apart"),
    [
        (1, 8, 0, False),
        (1, 8, 1, False),  # one GPU on one node: all cores are as near
        (2, 8, 1, True),
        (1, 8, 2, True),
        (1, 4, 4, False),  # a core each is too few
        (1, 1, 2, False),
    ],
)
def test_where_cores_are_told_apart(
    tmp_path: Path, nodes: int, cores: int, gpus: int, told_apart: bool
) -> None:
    sys = StubSys(tmp_path, nodes, cores)
    buses = [sys.gpu(f"00000000:0{n}:00.0", 0, "0-63") for n in range(gpus)]
    assert bool(sys.cores().shares(buses, 2)) is told_apart


def test_at_most_a_quarter_is_left_for_the_rest(tmp_path: Path) -> None:
    sys = StubSys(tmp_path, 1, 16, threads=1)
    buses = [sys.gpu(f"00000000:0{n}:00.0", 0, "0-15") for n in range(2)]
    assert [len(cpus) for cpus in sys.cores().shares(buses, 40)] == [6, 6]
    assert [len(cpus) for cpus in sys.cores().shares(buses, 2)] == [7, 7]


def test_instances_of_one_gpu_share_its_node(two_nodes: StubSys) -> None:
    bus = two_nodes.gpu("00000000:9D:00.0", 1, "16-31,48-63")
    shares = two_nodes.cores().shares([bus] * 4, 0)
    assert [len(cpus) for cpus in shares] == [8] * 4
    assert set().union(*shares) == {*range(16, 32), *range(48, 64)}


def test_a_host_that_shows_nothing_is_one_node(tmp_path: Path) -> None:
    """As in a container, or on a kernel without NUMA."""
    cores = executor.Cores({0, 1, 2, 3, 8, 9, 10, 11}, tmp_path)
    assert len(cores.nodes) == 1
    assert [len(cpus) for cpus in cores.shares(["00000000:01:00.0", ""], 1)] == [3, 3]


def test_this_host_is_understood() -> None:
    cores = executor.Cores()
    assert set().union(*cores.nodes) <= os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8,10-11", {0, 1, 2, 3, 8, 10, 11}), ("", set()), ("5", {5}), ("junk,1-,-2,3", {3})],
)
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert executor.cpus_in(text) - {1} == cpus - {1}
    assert executor.cpus_in(executor.in_kernels_form(cpus)) == cpus


@pytest.mark.parametrize(
    ("said", "in_sys"),
    [
        ("00000000:1B:00.0", "0000:1b:00.0"),
        ("00000001:00:00.0", "0001:00:00.0"),
        ("00010000:65:00.0", "10000:65:00.0"),  # a domain of Intel's VMD
        ("0000:01:00.0", "0000:01:00.0"),
    ],
)
def test_places_on_the_bus(said: str, in_sys: str) -> None:
    assert executor.place_in_sys(said) == in_sys


# --- Cgroups: the files of one, in a stub tree -------------------------------------------


def stub_cgroup(folder: Path, controllers: str) -> Path:
    for name, text in (("controllers", controllers), ("subtree_control", ""), ("procs", "")):
        (folder / f"cgroup.{name}").write_text(text)
    return folder


def weight(group: Path) -> int:
    return int((group / "cpu.weight").read_text())


def test_programs_have_equal_shares_compilers_less_and_the_executor_most(tmp_path: Path) -> None:
    cgroups = executor.Cgroups(stub_cgroup(tmp_path, "cpuset cpu io memory pids"))
    assert cgroups.shares_cpu
    one, other, compiles = cgroups.make(), cgroups.make(), cgroups.make(compiles=True)
    assert weight(one) == weight(other) > weight(compiles)
    assert weight(tmp_path / "telerun-executor") > weight(one)


def test_a_program_cannot_leave_the_cores_of_its_cgroup(tmp_path: Path) -> None:
    cgroups = executor.Cgroups(stub_cgroup(tmp_path, "cpuset cpu io memory pids"))
    assert (cgroups.make(cpus="2,3") / "cpuset.cpus").read_text() == "2,3"
    assert not (cgroups.make() / "cpuset.cpus").exists()


@pytest.mark.parametrize("controllers", ["memory pids", "cpuset memory pids", "cpu memory pids"])
def test_without_a_controller_its_files_are_left_alone(tmp_path: Path, controllers: str) -> None:
    cgroups = executor.Cgroups(stub_cgroup(tmp_path, controllers))
    group = cgroups.make(cpus="2,3")
    assert cgroups.about() == "cgroup v2"
    assert (group / "cpu.weight").exists() is cgroups.shares_cpu is ("cpu " in controllers)
    assert (group / "cpuset.cpus").exists() is ("cpuset" in controllers)


@pytest.mark.processes
def test_without_a_cgroup_a_slot_still_keeps_to_its_cores() -> None:
    """Real processes; a program could change it, but those that ask find as many as they have."""
    cpu = min(os.sched_getaffinity(0))
    slot = executor.Slot(None, None, executor.NO_BOARD, {cpu})
    limits = {"log_bytes": 1000, "output_bytes": 1000}
    command = executor.Command([], ["/usr/bin/nproc"], "/", {}, {})
    ended = slot.run(command, 20, limits, lambda: True)
    slot.close()
    assert ended.log == b"1\n"
