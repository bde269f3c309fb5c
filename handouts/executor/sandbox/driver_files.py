"""The driver's files in /proc/driver, of one GPU: what its library reads of them.

The whole folder would show all GPUs. In a sandbox there is an empty one in its place, as in
NVIDIA's containers (libnvidia-container), and below it what is named here.
"""

from __future__ import annotations

import re
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.machine.device_files import minor_of
from handouts.executor.machine.gpu import Gpu
from handouts.executor.machine.pci import pci_place, text_of

DRIVER = "proc/driver/nvidia"


def driver_params(root: Path = Path("/")) -> str:
    """The module's parameters, but that programs are not to make device files.

    As the kernel has them, the library tries to (mknod, or nvidia-modprobe, which is setuid), and
    where it fails CUDA does not start.
    """
    try:
        text = (root / DRIVER / "params").read_text()
    except OSError:
        text = ""
    text, found = re.subn(r"(?m)^(ModifyDeviceFiles:).*$", r"\1 0", text)
    return text if found else text + "ModifyDeviceFiles: 0\n"


def pci_address(gpu: Gpu, root: Path = Path("/")) -> str:
    """Its address as the kernel writes it, such as "0000:01:00.0"; "" if nobody tells.

    nvidia-smi writes more digits ("00000000:01:00.0"), and capitals.
    """
    place = pci_place(gpu.bus)
    if place:
        return "{:04x}:{:02x}:{:02x}.{:x}".format(*place)
    for information in sorted((root / DRIVER / "gpus").glob("*/information")):
        if re.search(
            rf"(?m)^GPU UUID:\s*{re.escape(gpu.whole or gpu.uuid)}\s*$", text_of(information)
        ):
            return information.parent.name
    return ""


def driver_files(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """Paths of what is there of this GPU and no other."""
    wanted = ["version"]
    address = pci_address(gpu, root)
    if address:
        wanted.append(f"gpus/{address}")
    parts = gpu.instance.split("/") if gpu.instance else []
    if parts:
        try:
            minor = minor_of(gpu, root)
        except BadSetup:  # said where its device files are looked for
            minor = "none"
        places = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        wanted += [f"capabilities/gpu{minor}/mig/{place}/access" for place in places]
    paths = [f"{DRIVER}/{name}" for name in wanted] + [DRIVER + "-uvm"]
    return ["/" + path for path in paths if (root / path).exists()]


def shown_of_driver(paths: list[str], root: Path = Path("/")) -> list[str]:
    """bwrap's arguments, for a /proc/driver that is empty. "@params" is `driver_params`."""
    if not (root / "proc/driver").is_dir():
        return []
    binds = ["--perms", "0444", "--file", "@params", f"/{DRIVER}/params"]
    for path in paths:
        binds += ["--ro-bind-try", str(root / path.lstrip("/")), path]
    return binds
