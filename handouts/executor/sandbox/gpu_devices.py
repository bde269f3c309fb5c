"""What a sandbox shows of this executor's GPUs: their device files, and the driver's own files."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.device_files import device_nodes
from handouts.executor.machine.gpu import Gpu
from handouts.executor.sandbox.device_access import check_own_access, groups_for
from handouts.executor.sandbox.driver_files import driver_files, shown_of_driver
from handouts.executor.sandbox.sys_files import shown_of_sys


class GpuDevices:
    """Of each GPU, by its UUID; none until they are found."""

    def __init__(
        self, whole_sys: bool = False, own: Collection[int] = (), root: Path = Path("/")
    ) -> None:
        """`own`: the gids of the sandboxes themselves. `root`: where /proc and /sys are."""
        self._nodes: dict[str, list[str]] = {}
        self._whole_sys = whole_sys
        self._own = own
        self._root = root

    def find(self, gpus: list[Gpu]) -> None:
        """Raises BadSetup, also where programs could not use them."""
        self._nodes = {gpu.uuid: device_nodes(gpu) for gpu in gpus}
        every = {node for nodes in self._nodes.values() for node in nodes}
        if gpus and "/dev/nvidia-uvm" not in every:
            raise BadSetup(
                "/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it (as root)."
            )
        if os.geteuid() == 0:
            _ = self.groups
        else:
            check_own_access(sorted(every))

    @property
    def groups(self) -> list[int]:
        """The groups that the device files ask for, where not everybody may use them. Never
        root's. Raises BadSetup for one that programs cannot use."""
        return groups_for([n for nodes in self._nodes.values() for n in nodes], self._own)

    def shown(self, gpu: Gpu | None) -> list[str]:
        """bwrap's arguments for those of one GPU; "@params" among them is `driver_params`."""
        if gpu is None:
            return []
        binds = ["--ro-bind", "/sys", "/sys"] if self._whole_sys else shown_of_sys(gpu, self._root)
        binds += shown_of_driver(driver_files(gpu, self._root), self._root)
        for node in self._nodes[gpu.uuid]:
            binds += ["--dev-bind", node, node]
        return binds
