"""The memory that the kernel says is in use."""

from __future__ import annotations

MEMINFO = "/proc/meminfo"
NODES = "/sys/devices/system/node"
# What of the memory in use the kernel says the purpose of (proc_meminfo(5)).
COUNTED_ON_HOST = (
    *("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "Slab", "KernelStack"),
    *("PageTables", "SecPageTables", "Percpu", "Hugetlb", "Zswap", "Balloon"),
)


def kernel_bytes(path: str, *names: str) -> int:
    """The sum of those lines of one of the kernel's files. Raises OSError, ValueError."""
    with open(path, errors="replace") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.partition(":")[0] in names)


def shared_on_host() -> int:
    """Bytes in all of the host's files that live in memory alone."""
    try:
        return kernel_bytes(MEMINFO, "Shmem")
    except (OSError, ValueError):
        return 0


def host_is_short(path: str = MEMINFO, share: float = 1.0) -> bool:
    """Whether the host's memory is nearly used up: less than 5 % is left, or 2 GiB if less.

    What runs is then stopped: some of a program's memory is not attributed to any process, such
    as files that are on their way through a socket. `share`: of that floor, to ask for more or
    less of it.
    """
    try:
        floor = share * min(2 << 30, kernel_bytes(path, "MemTotal") // 20)
        return kernel_bytes(path, "MemAvailable") < floor
    except (OSError, ValueError):
        return False


def is_all_beside_cpus(root: str = NODES) -> bool:
    """Whether each node with memory has CPUs too. On Grace a GPU's own memory is a node without,
    and what programs take there is nothing that the host has lost."""
    try:
        with open(f"{root}/has_memory") as with_memory, open(f"{root}/has_cpu") as with_cpus:
            return with_memory.read() == with_cpus.read()
    except OSError:
        return True


def uncounted_on_host(path: str = MEMINFO) -> int:
    """Bytes in use of which the kernel does not say what for: pages that drivers took.

    Among them are those that a GPU's driver holds for programs, also when they are in the memory
    of no process, and what is on its way through sockets and pipes.
    """
    try:
        return kernel_bytes(path, "MemTotal") - kernel_bytes(path, *COUNTED_ON_HOST)
    except (OSError, ValueError):
        return 0
