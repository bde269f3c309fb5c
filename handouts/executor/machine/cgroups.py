"""Cgroups (version 2), where this process may make some."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path


class Cgroups:
    """A cgroup for each slot: the kernel then limits memory and processes, and no slot polls.

    Where this process may make none, `make` returns None.
    """

    OVERHEAD_BYTES, OVERHEAD_PROCESSES = 32 << 20, 8  # of the slot and bwrap

    def __init__(self, group: Path | None) -> None:
        """`group`: the one this process is in, alone; None if there is none.

        The process moves to a child group, because only groups without processes of their own
        can have children with limits (cgroups(7)).
        """
        self._group = group
        self._count = 0
        if group is not None:
            try:
                self._split(group)
            except OSError:
                self._group = None

    def _split(self, group: Path) -> None:
        if not {"memory", "pids"} <= set((group / "cgroup.controllers").read_text().split()):
            raise OSError(errno.ENOTSUP, "without the controllers")
        leaf = group / "telerun-executor"
        leaf.mkdir(exist_ok=True)
        try:
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:  # others are in it too
            (group / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()
            raise

    def close(self) -> None:
        """Moves the process back, if nothing is left in the child groups."""
        if self._group is not None:
            with suppress(OSError):
                (self._group / "cgroup.subtree_control").write_text("-memory -pids")
                (self._group / "cgroup.procs").write_text(str(os.getpid()))
                (self._group / "telerun-executor").rmdir()

    def about(self) -> str:
        """For the log and for staff."""
        return "cgroup v2" if self._group else "rlimits and a watchdog"

    def make(self) -> Path | None:
        """A group for one slot, or None."""
        if self._group is None:
            return None
        self._count += 1
        made = self._group / f"telerun-slot-{self._count}"
        made.mkdir(exist_ok=True)
        (made / "memory.swap.max").write_text("0")
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
