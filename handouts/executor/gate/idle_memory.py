"""How much of a GPU's memory is in use while nothing runs on it."""

from __future__ import annotations

from handouts.executor.machine.gpu import Gpu

SPARE_MIB = 64  # by how much that may differ
MOST_MIB = 1024  # more is never normal: drivers keep less, and held 10 GiB on A100s after a fault
IDLE_CHECKS = 4  # after as many that find nothing but more memory in use, that is what is normal


class IdleMemory:
    """The smallest amount seen counts as normal, until a larger one has stayed for long. More than
    MOST_MIB never does."""

    def __init__(self, gpu: Gpu) -> None:
        self._index = gpu.index
        self._is_instance = bool(gpu.whole)  # nvidia-smi does not say what an instance uses
        self._normal_mib: int | None = None
        self._is_only_problem = False  # of the last look
        self._is_too_much = False
        self._failed_checks = 0  # in a row, which found no other problem

    def begin_look(self) -> None:
        """Until `excess` is asked, a problem is another one."""
        self._is_only_problem = False

    def excess(self, used_mib: int | None) -> str:
        """What is wrong with the memory in use, "" for nothing; asked if nothing else is wrong."""
        if used_mib is None or self._is_instance:
            return ""
        first = min(used_mib, MOST_MIB)
        normal = first if self._normal_mib is None else min(used_mib, self._normal_mib)
        self._normal_mib = normal
        self._is_too_much = used_mib > MOST_MIB
        self._is_only_problem = used_mib > normal + SPARE_MIB
        if not self._is_only_problem:
            return ""
        if self._is_too_much and (normal == MOST_MIB or self._failed_checks >= IDLE_CHECKS - 1):
            return (
                f"{used_mib} MiB of its memory are in use and no process is on it: "
                f"nvidia-smi -pm 0 -i {self._index}, then nvidia-smi --gpu-reset -i {self._index} "
                "mends that, or a reboot"
            )
        return f"{used_mib} MiB of its memory are in use and {normal} were while it was idle"

    def check_failed(self) -> bool:
        """Whether the larger amount is the normal one from now on: it may be the driver's own."""
        self._failed_checks = self._failed_checks + 1 if self._is_only_problem else 0
        if self._failed_checks < IDLE_CHECKS or self._is_too_much:
            return False
        self._normal_mib = None
        return True

    def check_passed(self) -> None:
        """The next failed check is the first in a row."""
        self._failed_checks = 0
