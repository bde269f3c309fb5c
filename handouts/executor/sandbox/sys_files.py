"""What programs with a GPU see of /sys: what the driver's library reads there, of their own GPU.

/sys as a whole tells of all that is in the host: every device, network addresses, the cgroups of
others. The list is what libcuda 535 opens (strace), what NVIDIA's own sandbox shows on a GB300,
and what CUDA on Grace needs (nodes of memory); docs/adr/0020 names the sources.
"""

from __future__ import annotations

import os
from pathlib import Path

from handouts.executor.machine.gpu import Gpu
from handouts.executor.sandbox.driver_files import pci_address

OF_THE_HOST = (
    "sys/devices/system/cpu",
    "sys/devices/system/node",
    "sys/devices/system/memory",
    "sys/devices/soc0",  # of integrated GPUs: what kind of chip it is
    "sys/module/nvidia/initstate",
    "sys/module/nvidia_uvm/initstate",
)
PCI = "sys/bus/pci/devices"


def shown_of_sys(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """bwrap's arguments."""
    binds = []
    for path in OF_THE_HOST:
        if (root / path).exists():
            binds += ["--ro-bind-try", str(root / path), "/" + path]
    return binds + shown_of_pci(pci_address(gpu, root), root)


def shown_of_pci(address: str, root: Path = Path("/")) -> list[str]:
    """The device's folder, where the kernel has it, and the link by which it is found.

    The folders above it, of bridges, stay empty. Without a device the list of them is empty.
    """
    binds = ["--dir", "/" + PCI]
    link = root / PCI / address
    if not address or not link.is_symlink():
        return binds
    folder = Path(os.path.realpath(str(link)))
    place = "/" + str(folder.relative_to(os.path.realpath(str(root))))
    return [
        *binds,
        "--ro-bind-try",
        str(folder),
        place,
        "--symlink",
        os.readlink(str(link)),
        f"/{PCI}/{address}",
    ]
