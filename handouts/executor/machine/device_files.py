"""The device files of a GPU."""

from __future__ import annotations

import re
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.gpu import Gpu


def device_nodes(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """The device files of one GPU and no other. Raises BadSetup.

    `nvidia-smi` and the driver number GPUs differently, so the file is the one whose
    "Device Minor" has this UUID.
    """
    minor = minor_of(gpu, root)
    nodes = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia" + minor]
    # An instance (MIG) has two files more: of its part of the GPU, and of the part of that.
    parts = gpu.instance.split("/") if gpu.instance else []
    for place in ["/".join(parts[: n + 1]) for n in range(len(parts))]:
        access = root / f"proc/driver/nvidia/capabilities/gpu{minor}/mig/{place}/access"
        text = access.read_text() if access.exists() else ""
        number = re.search(r"DeviceFileMinor:\s*(\d+)", text)
        if not number:
            raise BadSetup(f"The driver does not say which device files are those of {gpu.uuid}.")
        nodes.append("nvidia-caps/nvidia-cap" + number[1])
    return ["/dev/" + node for node in nodes if (root / "dev" / node).exists()]


def minor_of(gpu: Gpu, root: Path) -> str:
    """The number of its device file. Raises BadSetup."""
    for information in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        lines = [line for line in information.read_text().splitlines() if ":" in line]
        fields = dict(line.split(":", 1) for line in lines)
        if fields.get("GPU UUID", "").strip() == (gpu.whole or gpu.uuid):
            return fields["Device Minor"].strip()
    raise BadSetup(f"The driver lists no GPU {gpu.uuid} in /proc/driver/nvidia/gpus.")
