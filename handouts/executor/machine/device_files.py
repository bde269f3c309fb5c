"""The device files of a GPU."""

from __future__ import annotations

import re
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.gpu import DriverNotReady, Gpu
from handouts.executor.machine.pci import pci_place, text_of


class MissingNode(DriverNotReady):
    """A device file that is not there, and the arguments of nvidia-modprobe that make it."""

    def __init__(self, node: str, arguments: list[str]) -> None:
        super().__init__(f"{node} is missing: nvidia-modprobe {' '.join(arguments)} makes it.")
        self.node = node
        self.arguments = arguments


def device_nodes(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """The device files that a program on one GPU needs, those of no other GPU among them.

    Raises MissingNode for one that does not exist, and BadSetup where the driver does not say
    which they are. The whole GPU's is needed for an instance (MIG) too.
    """
    minor = minor_of(gpu, root)
    wanted = {
        "nvidiactl": ["-c", "255"],
        "nvidia-uvm": ["-u", "-c", "0"],
        "nvidia" + minor: ["-c", minor],
        **capability_files(gpu, minor, root),
    }
    for node, arguments in wanted.items():
        if not (root / "dev" / node).exists():
            raise MissingNode("/dev/" + node, arguments)
    return ["/dev/" + node for node in wanted]


def capability_files(gpu: Gpu, minor: str, root: Path) -> dict[str, list[str]]:
    """The two files more that an instance (MIG) has: of its part of the GPU, and of the part of
    that; with what makes each. Raises BadSetup."""
    parts = gpu.instance.split("/") if gpu.instance else []
    found = {}
    for place in ["/".join(parts[: n + 1]) for n in range(len(parts))]:
        access = f"proc/driver/nvidia/capabilities/gpu{minor}/mig/{place}/access"
        number = re.search(r"DeviceFileMinor:\s*(\d+)", text_of(root / access))
        if not number:
            raise BadSetup(f"The driver does not say which device files are those of {gpu.uuid}.")
        found["nvidia-caps/nvidia-cap" + number[1]] = ["-f", "/" + access]
    return found


def minor_of(gpu: Gpu, root: Path) -> str:
    """The number of a GPU's device file. Raises BadSetup.

    nvidia-smi and the driver number GPUs differently, so the file is the one whose "Device Minor"
    is at the GPU's place on the bus. By its UUID it is looked for only where that is not known:
    the driver prints GPU-????????-... for one that nobody used since it was started.
    """
    whole, place = gpu.whole or gpu.uuid, pci_place(gpu.bus)
    by_uuid = ""
    for folder in sorted(root.glob("proc/driver/nvidia/gpus/*")):
        lines = text_of(folder / "information").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
        minor = fields.get("Device Minor", "")
        if not minor.isdigit():
            continue
        if place and place in (pci_place(folder.name), pci_place(fields.get("Bus Location", ""))):
            return minor
        if fields.get("GPU UUID") == whole:
            by_uuid = minor
    if not by_uuid:
        raise BadSetup(f"The driver lists no GPU {whole} in /proc/driver/nvidia/gpus.")
    return by_uuid
