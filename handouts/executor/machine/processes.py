"""Processes, as /proc shows them (proc(5))."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def stat_fields(pid: int | str, root: str = "/proc") -> list[bytes]:
    """State, parent and so on of a process, from /proc/PID/stat; [] if there is none.

    The same of a thread, which is "PID/task/TID".
    """
    try:
        return Path(f"{root}/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def is_running(pid: int, root: str = "/proc") -> bool:
    """Whether the process is there and not dead already.

    One whose first thread has ended is a zombie to see, while others of its threads may hang in a
    driver: it is dead when all of them are.
    """
    try:
        threads = os.listdir(f"{root}/{pid}/task")
    except OSError:
        return False
    return any(has_not_ended(f"{pid}/task/{thread}", root) for thread in threads)


def has_not_ended(thread: int | str, root: str = "/proc") -> bool:
    """Whether a thread is there and not dead already; a process's number is its first thread's."""
    return stat_fields(thread, root)[:1] not in ([], [b"Z"], [b"X"])


def children() -> list[int]:
    """The pids of this process's children."""
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if stat_fields(pid)[1:2] == [b"%d" % me]]


def kill_group(pid: int) -> None:
    """SIGKILL for a process and for the group that it leads, if it leads one."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def reap(pid: int) -> None:
    """Lets the kernel forget a child that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
