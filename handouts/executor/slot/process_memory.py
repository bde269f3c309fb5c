"""The memory of one process, from /proc (proc(5)).

Strings, not Path, because all of it is read 20 times a second.
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress

from handouts.executor.machine.memory import kernel_bytes
from handouts.executor.machine.processes import has_not_ended


def process_tree(root: int) -> list[int]:
    """The process, its children, theirs and so on."""
    found, new = [], [root]
    while new:
        pid = new.pop()
        threads = glob.glob(f"/proc/{pid}/task/*/children")
        found.append(pid)
        if len(threads) > 1 and not has_not_ended(pid):
            # Its first thread ended, and /proc shows the memory only under the others.
            found[-1] = max(int(path.split("/")[4]) for path in threads)
        for path in threads:
            with suppress(OSError), open(path) as file:
                new += map(int, file.read().split())
    return found


def hides_its_files(pid: int) -> bool:
    """Whether it keeps its files from being counted (PR_SET_DUMPABLE, prctl(2))."""
    try:
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return resident(pid) > 0  # those of a process that is ending are closed too
    except OSError:
        return False
    return False


def resident(pid: int) -> int:
    """Bytes that it has, alone or with others."""
    try:
        return kernel_bytes(f"/proc/{pid}/status", "VmRSS", "VmPTE")
    except (OSError, ValueError):
        return 0


def anonymous_bytes(pid: int) -> int:
    """Bytes of its own that the kernel counts as such, whoever's driver there is."""
    try:
        return kernel_bytes(f"/proc/{pid}/status", "RssAnon")
    except (OSError, ValueError):
        return 0


def managed(pid: int) -> int:
    """Bytes of managed memory (cudaMallocManaged), wherever they are now.

    The driver takes host memory for those that do not fit on the GPU, and no process has them.
    Their addresses are mapped from the driver's device file.
    """
    size = 0
    with suppress(OSError, ValueError), open(f"/proc/{pid}/maps", errors="replace") as file:
        for line in file:
            if line.endswith("/nvidia-uvm\n"):
                begin, end = (int(address, 16) for address in line.split(" ", 1)[0].split("-"))
                size += end - begin
    return size


def proportional(pid: int) -> int:
    """The same, but its share of what it has with others."""
    try:
        tables = kernel_bytes(f"/proc/{pid}/status", "VmPTE")
        return kernel_bytes(f"/proc/{pid}/smaps_rollup", "Pss") + tables
    except (OSError, ValueError):
        return resident(pid)
