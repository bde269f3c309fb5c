"""CPU time and memory of processes from /proc, and the middle of samples."""

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for number, fields in _all_stats():
        parents.setdefault(int(fields[1]), []).append(number)
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield int(entry.name), fields


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (proc(5)); [] for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time so far of the process's family, with those of it that have ended."""
    return sum(sum(map(int, _stat(p)[11:15])) / _TICKS for p in family(pid))


def memory_mib(pid: int, kind: str = "Pss") -> float:
    """Memory of the process's family; "Pss" counts a shared page once, "Rss" in each process."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total / 1024


def own_cpu_seconds() -> float:
    """What this process, the load generator, has used so far."""
    times = os.times()
    return times.user + times.system


def percentile(samples: list[float], percent: float) -> float:
    """The nearest rank; samples in any order."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(samples: list[float]) -> float:
    return statistics.median(samples)
