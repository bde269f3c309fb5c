"""The memory that the kernel says is in use."""

from __future__ import annotations


def kernel_bytes(path: str, *names: str) -> int:
    """The sum of those lines of one of the kernel's files. Raises OSError, ValueError."""
    with open(path, errors="replace") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.partition(":")[0] in names)


def shared_on_host() -> int:
    """Bytes in all of the host's files that live in memory alone."""
    try:
        return kernel_bytes("/proc/meminfo", "Shmem")
    except (OSError, ValueError):
        return 0


def host_is_short(path: str = "/proc/meminfo") -> bool:
    """Whether the host's memory is nearly used up.

    What runs is then stopped: some of a program's memory is not attributed to any process, such
    as files that are on their way through a socket.
    """
    try:
        floor = min(1 << 30, kernel_bytes(path, "MemTotal") // 20)
        return kernel_bytes(path, "MemAvailable") < floor
    except (OSError, ValueError):
        return False
