"""Places on the PCI bus, and the GPUs that the kernel sees there."""

from __future__ import annotations

import re
from pathlib import Path

PLACE = re.compile(
    r"(?:PCI:)?([0-9a-f]{4,8}):([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?", re.IGNORECASE
)
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")  # PCI's: with a display, and without


def pci_place(text: str) -> tuple[int, ...]:
    """A place as numbers: domain, bus, device, function; () if it is none.

    nvidia-smi's "00000000:0A:00.0" is "0000:0a:00.0" in /proc and /sys, and "PCI:0000:0a:00" in
    the kernel's log.
    """
    found = PLACE.fullmatch(text.strip())
    return tuple(int(part or "0", 16) for part in found.groups()) if found else ()


def gpus_on_bus(root: Path = Path("/")) -> set[tuple[int, ...]]:
    """The places of NVIDIA's GPUs, but for those that another driver has, such as vfio-pci."""
    found = set()
    for device in root.glob("sys/bus/pci/devices/*"):
        if text_of(device / "vendor").strip() != NVIDIA:
            continue
        driver = device / "driver"
        is_ours = not driver.exists() or driver.resolve().name == "nvidia"
        if is_ours and text_of(device / "class").startswith(DISPLAY_CLASSES):
            found.add(pci_place(device.name))
    return found


def text_of(path: Path) -> str:
    """What is in a file of /proc or /sys; "" if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
