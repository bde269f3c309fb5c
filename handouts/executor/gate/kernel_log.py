"""The kernel's log, where the driver reports Xid errors."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from handouts.executor.machine.pci import pci_place

# Xid errors after which NVIDIA says to reset the GPU or to reboot, by
# https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html (the resolution buckets
# RESET_GPU, RESTART_BM, RESTART_VM, WORKFLOW_XID_48 and WORKFLOW_NVLINK_ERR). Not here:
# - what a program's own faults raise (13, 31, 43, 45, 68, 69);
# - memory errors that were contained (63, 92, 94, 157), after which the next program may run;
# - 109, a context switch that took too long: a program's kernel can cause it, and the GPU goes on
#   (https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1146 and 1243);
# - 144 to 150, of NVLink: whether they ask for a reset is in bits of their messages.
# Of the last two the driver says by Xid 154 and by the recovery action if a reset is needed.
RESET_XIDS = frozenset(
    [46, 48, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 151, 155, 156, 158]
)


class KernelLog:
    """The Xid errors that the driver reports from now on. Each reader has its own position."""

    XID = re.compile(
        rb"NVRM: Xid \((?:PCI:)?([0-9a-f]{4,8}):([0-9a-f]+):([0-9a-f]+)[^)]*\): (\d+)([^\n]*)",
        re.IGNORECASE,
    )

    def __init__(self, path: Path) -> None:
        """`path`: /dev/kmsg, or a file that the messages are appended to. Raises OSError."""
        self._path = str(path)
        self._file = self._open()
        os.lseek(self._file, 0, os.SEEK_END)
        self._rest = b""

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def new_xids(self, bus: str) -> list[tuple[int, str]]:
        """Those of the GPU at that place on the bus, as pairs of number and message."""
        data = self._rest + b"".join(iter(self._read, b""))
        if self._rotated():
            data += b"".join(iter(self._read, b""))
        whole, newline, self._rest = data.rpartition(b"\n")
        place = pci_place(bus)[:3]  # the log does not say the function
        return [
            (int(found[4]), found[5].decode("utf-8", "replace").strip(" ,"))
            for found in self.XID.finditer(whole + newline)
            if pci_place(":".join(part.decode() for part in found.group(1, 2, 3)))[:3] == place
        ]

    def _rotated(self) -> bool:
        """Whether the file was replaced or emptied; it is then read from its start."""
        try:
            there, opened = os.stat(self._path), os.fstat(self._file)
            if not stat.S_ISREG(there.st_mode):
                return False
            same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
            if same and there.st_size >= os.lseek(self._file, 0, os.SEEK_CUR):
                return False
            file = self._open()
        except OSError:  # it is being replaced; the next look sees it
            return False
        os.close(self._file)
        self._file = file
        return True

    def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._file, 1 << 13)  # of /dev/kmsg, one message
            except BlockingIOError:
                return b""
            except BrokenPipeError:  # some were overwritten before they were read
                continue
