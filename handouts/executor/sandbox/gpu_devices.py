"""The device files of this executor's GPUs."""

from __future__ import annotations

from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.device_files import device_nodes
from handouts.executor.machine.gpu import Gpu


class GpuDevices:
    """Of each GPU, by its UUID; none until they are found."""

    def __init__(self) -> None:
        self._nodes: dict[str, list[str]] = {}

    def find(self, gpus: list[Gpu]) -> None:
        """Raises BadSetup."""
        self._nodes = {gpu.uuid: device_nodes(gpu) for gpu in gpus}
        every = {node for nodes in self._nodes.values() for node in nodes}
        if gpus and "/dev/nvidia-uvm" not in every:
            raise BadSetup(
                "/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it (as root)."
            )

    @property
    def groups(self) -> list[int]:
        """The groups that the device files ask for, where not everybody may use them."""
        files = [Path(node).stat() for nodes in self._nodes.values() for node in nodes]
        return sorted({file.st_gid for file in files if file.st_mode & 0o006 != 0o006})

    def shown(self, gpu: Gpu | None) -> list[str]:
        """bwrap's arguments for those of one GPU."""
        if gpu is None:
            return []
        binds = ["--ro-bind", "/sys", "/sys"]
        for node in self._nodes[gpu.uuid]:
            binds += ["--dev-bind", node, node]
        return binds
