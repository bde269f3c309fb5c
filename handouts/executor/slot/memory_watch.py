"""The memory that a job has, added up from /proc (proc(5)).

Also where a cgroup limits it: what a GPU's driver takes for a program is in no cgroup's count.

Counted are resident pages, and files that live in memory alone: those of memfd_create(2), and
the sandbox's /tmp and /dev/shm. Strings, not Path, because all of it is read 20 times a second.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import suppress

from handouts.executor.machine.memory import kernel_bytes, shared_on_host
from handouts.executor.slot.memory_board import Held, MemoryBoard
from handouts.executor.slot.process_memory import (
    anonymous_bytes,
    hides_its_files,
    managed,
    process_tree,
    proportional,
    resident,
)
from handouts.executor.slot.shortage import Shortage

WATCH_SECONDS = 0.05  # how often it is looked at
MAXIMUM_DESCRIPTORS = 16384  # of all processes of a job together, each of which is looked at
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """A process and all its descendants, and the memory they have."""

    def __init__(self, pid: int, memfd_device: int, board: MemoryBoard) -> None:
        """`memfd_device`: see below; 0 without a sandbox, where files are on a disk."""
        self._pid = pid
        self._memfd_device = memfd_device
        self._board = board
        self._shortage = Shortage(board)
        self.peak = 0

    def look(self, maximum: int) -> str:
        """Returns "memory" if they have more bytes than that now, "" if not.

        Or "short" if the host has none left, and it is not evidently the job's mistake.
        """
        pids = process_tree(self._pid)
        if any(map(hides_its_files, pids[2:])):  # behind bwrap and the first process
            return "memory"
        try:
            memfds = self._memfds(pids)
        except OverflowError:
            return "memory"
        size = self._size(pids, memfds, maximum)
        self.peak = max(self.peak, size)
        return "memory" if size > maximum else self._look_at_host(pids, size, maximum)

    def _size(self, pids: list[int], memfds: dict[int, int], maximum: int) -> int:
        """Bytes; exact only where that decides whether they are more than `maximum`."""
        files = self._sandbox_files(pids)
        size = files + sum(memfds.values()) + sum(map(resident, pids))
        if size > maximum:  # count what they share once; that takes longer
            return files + sum(memfds.values()) + sum(map(proportional, pids))
        if size + shared_on_host() > maximum:
            return max(size, files + self._with_mapped(pids, memfds))
        return size

    def _look_at_host(self, pids: list[int], size: int, maximum: int) -> str:
        is_near = self._shortage.is_near()
        held = Held(size, sum(map(managed, pids)) if is_near else 0, maximum)
        self._board.write(held)
        if not is_near:
            return ""
        anonymous = sum(map(anonymous_bytes, pids))
        verdict = self._shortage.verdict(held, anonymous)
        if verdict == "memory":
            self.peak = max(self.peak, self._shortage.lost + anonymous)
        return verdict

    def _sandbox_files(self, pids: list[int]) -> int:
        """Bytes of the files in the sandbox, and a page of the kernel's for each file."""
        size = 0
        for pid in pids[2:] if self._memfd_device else []:  # behind bwrap and the first process
            for folder in ("tmp", "dev/shm"):
                try:
                    about = os.statvfs(f"/proc/{pid}/root/{folder}")
                except OSError:
                    break
                size += (about.f_blocks - about.f_bfree) * about.f_frsize
                size += (about.f_files - about.f_ffree) * PAGE_BYTES
            else:
                break
        return size

    def _memfds(self, pids: list[int]) -> dict[int, int]:
        """Bytes by inode, also of those that no process has mapped.

        Raises OverflowError if there are more descriptors than can be looked at in a short time.
        """
        sizes, looks = {}, 0
        for pid in pids if self._memfd_device else []:
            for path in glob.glob(f"/proc/{pid}/fd/*"):
                looks += 1
                if looks > MAXIMUM_DESCRIPTORS:
                    raise OverflowError
                try:
                    about = os.stat(path)
                except OSError:
                    continue
                if about.st_dev == self._memfd_device:
                    sizes[about.st_ino] = about.st_blocks * 512
        return sizes

    def _with_mapped(self, pids: list[int], memfds: dict[int, int]) -> int:
        """Bytes with all shared memory that is mapped, touched or not.

        A page that was given up (madvise(2)), or that only a dead process touched, is not counted
        as resident, but still exists.
        """
        own, extents = 0, dict(memfds)
        for pid in pids if self._memfd_device else []:
            with suppress(OSError, ValueError):
                own += kernel_bytes(f"/proc/{pid}/status", "RssAnon", "RssFile", "VmPTE")
                for inode, end in self._mapped(pid):
                    extents[inode] = max(extents.get(inode, 0), end)
        return own + min(sum(extents.values()), shared_on_host())

    def _mapped(self, pid: int) -> Iterator[tuple[int, int]]:
        """Inode and end of each mapping of a file that lives in memory alone."""
        with open(f"/proc/{pid}/maps", errors="replace") as file:
            for line in file:
                span, _, offset, device, inode = line.split()[:5]
                major, minor = (int(number, 16) for number in device.split(":"))
                if os.makedev(major, minor) == self._memfd_device:
                    begin, end = (int(address, 16) for address in span.split("-"))
                    yield int(inode), int(offset, 16) + end - begin


def memfd_device() -> int:
    """The file system that files made by memfd_create(2) are on; 0 where there is none."""
    try:
        descriptor = os.memfd_create("device")
    except (AttributeError, OSError):
        return 0
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)
