"""Cgroups (version 2), where this process may make some."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path


class Cgroups:
    """A cgroup for each slot: the kernel then limits memory and processes, and shares out the CPU.

    Where this process may make none, `make` returns None.
    """

    OVERHEAD_BYTES, OVERHEAD_PROCESSES = 32 << 20, 8  # of the slot and bwrap
    # Of the CPU, where there is not enough for all (cpu.weight): programs have equal shares,
    # however many threads they start; compilers have less, and the executor does not wait for them.
    EXECUTOR_WEIGHT, PROGRAM_WEIGHT, COMPILER_WEIGHT = 1000, 200, 100

    def __init__(self, group: Path | None) -> None:
        """`group`: the one this process is in, alone; None if there is none.

        The process moves to a child group, because only groups without processes of their own
        can have children with limits (cgroups(7)).
        """
        self._group = group
        self._count = 0
        self._cpu: list[str] = []  # which of the controllers for the CPU there are
        if group is not None:
            try:
                self._split(group)
            except OSError:
                self._group = None

    def _split(self, group: Path) -> None:
        there = set((group / "cgroup.controllers").read_text().split())
        if not {"memory", "pids"} <= there:
            raise OSError(errno.ENOTSUP, "without the controllers")
        leaf = group / "telerun-executor"
        leaf.mkdir(exist_ok=True)
        try:
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            self._take_cpu(group, there)
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:  # others are in it too
            self._cpu.clear()
            (group / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()
            raise
        if self.shares_cpu:
            (leaf / "cpu.weight").write_text(str(self.EXECUTOR_WEIGHT))

    def _take_cpu(self, group: Path, there: set[str]) -> None:
        """The controllers that a host may do without, each by itself."""
        for name in ("cpu", "cpuset"):
            with suppress(OSError):
                if name in there:
                    (group / "cgroup.subtree_control").write_text(f"+{name}")
                    self._cpu.append(name)

    def close(self) -> None:
        """Moves the process back, if nothing is left in the child groups."""
        if self._group is not None:
            with suppress(OSError):
                off = " ".join(f"-{name}" for name in ("memory", "pids", *self._cpu))
                (self._group / "cgroup.subtree_control").write_text(off)
                (self._group / "cgroup.procs").write_text(str(os.getpid()))
                (self._group / "telerun-executor").rmdir()

    def about(self) -> str:
        """For the log and for staff."""
        return "cgroup v2" if self._group else "rlimits and a watchdog"

    @property
    def shares_cpu(self) -> bool:
        """Whether each slot has its share of the CPU, however many threads others have."""
        return "cpu" in self._cpu

    def make(self, compiles: bool = False, cpus: str = "") -> Path | None:
        """A group for one slot, or None. `cpus`: its own, in the kernel's form; "" for all."""
        if self._group is None:
            return None
        self._count += 1
        made = self._group / f"telerun-slot-{self._count}"
        made.mkdir(exist_ok=True)
        (made / "memory.swap.max").write_text("0")
        if self.shares_cpu:
            weight = self.COMPILER_WEIGHT if compiles else self.PROGRAM_WEIGHT
            (made / "cpu.weight").write_text(str(weight))
        if cpus and "cpuset" in self._cpu:
            (made / "cpuset.cpus").write_text(cpus)
        return made

    @classmethod
    def limit(cls, group: Path, limits: dict[str, int]) -> None:
        """Sets the limits of the job that runs in it next."""
        (group / "memory.max").write_text(str(limits["memory_bytes"] + cls.OVERHEAD_BYTES))
        (group / "pids.max").write_text(str(limits["processes"] + cls.OVERHEAD_PROCESSES))

    @staticmethod
    def kills(group: Path) -> int:
        """How many processes were killed in it so far because its memory was used up."""
        events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0))


def own_cgroup() -> Path | None:
    """The cgroup (version 2) of this process; None where there are none, or all is one group."""
    try:
        mounts = [
            line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ]
        places = [m[0].split()[4] for m in mounts if m[1].startswith("cgroup2 ")]
        names = re.findall(r"^0::/(.+)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except (OSError, IndexError):
        return None
    return Path(places[0]) / names[0] if places and names else None
