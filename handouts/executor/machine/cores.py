"""Which of the host's cores each worker's programs have.

Only where there are several GPUs or several NUMA nodes: there a program is measured better on cores
near its GPU that no other program has.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

MINIMUM = 2  # cores a GPU; with fewer, all share them


class Cores:
    """As /sys shows them, and this process may use them."""

    def __init__(self, allowed: set[int] | None = None, root: Path = Path("/sys")) -> None:
        """`allowed`: CPUs, by number; those of this process."""
        self._root = root
        self._allowed = os.sched_getaffinity(0) if allowed is None else allowed
        self.nodes = self._nodes()

    def _nodes(self) -> list[set[int]]:
        folders = sorted(self._root.glob("devices/system/node/node[0-9]*/cpulist"))
        found = [cpus_in(kernel_text(path)) & self._allowed for path in folders]
        return [node for node in found if node] or [set(self._allowed)]

    def near(self, bus: str) -> int:
        """The NUMA node of a GPU, as its place in `nodes`; -1 where the kernel does not say.

        `bus`: as nvidia-smi has it, "00000000:81:00.0".
        """
        device = self._root / "bus/pci/devices" / place_in_sys(bus)
        local = cpus_in(kernel_text(device / "local_cpulist")) & self._allowed
        if kernel_text(device / "numa_node").startswith("-") or not local:
            return -1
        shared = [len(local & node) for node in self.nodes]
        return shared.index(max(shared)) if len(self.nodes) > 1 else 0

    def shares(self, buses: Sequence[str], others: int) -> list[set[int]]:
        """The CPUs of each GPU's programs; [] where cores are not told apart.

        `buses`: where the GPUs are. `others`: how many cores should be left for all the rest: the
        executor, compilers, programs without a GPU; at most a quarter of them is.
        """
        if not buses or (len(buses) == 1 and len(self.nodes) == 1):
            return []
        cores = [self._cores_of(node) for node in self.nodes]
        left = min(others, sum(map(len, cores)) // 4)
        for _ in range(left):  # of the nodes with most of them
            max(cores, key=len).pop()
        homes = self._homes(buses)
        # As many for each GPU of the host, so that their times can be compared.
        count = min(len(cores[home]) // crowd for home, crowd in Counter(homes).items())
        if count < MINIMUM:
            return []
        return [set().union(*(cores[home].pop(0) for _ in range(count))) for home in homes]

    def _homes(self, buses: Sequence[str]) -> list[int]:
        """The node of each GPU; those of which the kernel does not say are spread."""
        homes = [self.near(bus) for bus in buses]
        for number, home in enumerate(homes):
            if home < 0:
                crowd = Counter(home for home in homes if home >= 0)
                homes[number] = min(range(len(self.nodes)), key=lambda node: crowd[node])
        return homes

    def _cores_of(self, cpus: set[int]) -> list[set[int]]:
        """The same CPUs by core: two that share one are never two programs'."""
        cores: list[set[int]] = []
        for cpu in sorted(cpus):
            if not any(cpu in core for core in cores):
                path = self._root / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
                cores.append((cpus_in(kernel_text(path)) | {cpu}) & cpus)
        return cores


def kernel_text(path: Path) -> str:
    """One of the kernel's files; "" if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpus_in(text: str) -> set[int]:
    """From the kernel's form, "0-3,8,10-11"; what is not understood is left out."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def in_kernels_form(cpus: set[int]) -> str:
    """The inverse: "0,1,2,8"."""
    return ",".join(map(str, sorted(cpus)))


def place_in_sys(bus: str) -> str:
    """As /sys has it: "0000:81:00.0", in small letters, its domain of four digits or more."""
    domain, _, rest = bus.lower().partition(":")
    return f"{domain.lstrip('0').rjust(4, '0')}:{rest}"
