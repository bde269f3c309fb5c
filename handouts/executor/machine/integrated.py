"""GPUs without memory of their own: what programs take on them is the host's.

No limit holds there: the driver's pages are in no cgroup's count and in no process.
"""

from __future__ import annotations

import re
from pathlib import Path

from handouts.client.errors import BadSetup
from handouts.executor.base.say import say
from handouts.executor.machine.gpu import Gpu, GpuTrouble
from handouts.executor.machine.nvidia_smi import ask_nvidia_smi, rows_of

NAMES = re.compile(r"\b(GB10|N1X|Tegra|Jetson|Orin|Xavier|Thor|nvgpu)\b", re.IGNORECASE)
UNKNOWN = re.compile(r"\[?(N/A|Not Supported|Not Available|Unknown)?\]?", re.IGNORECASE)


def refuse_integrated(gpus: list[Gpu], is_allowed: bool) -> None:
    """Raises BadSetup for a GPU without memory of its own, unless the operator allows it."""
    memories = memories_of(gpus) if gpus else {}
    for gpu in gpus:
        total, used = memories.get(gpu.whole or gpu.uuid, ("?", "?"))
        if not is_integrated(gpu, total, used):
            continue
        why = (
            f"GPU {gpu.index} ({gpu.name}) has no memory of its own: what programs take there is "
            "the host's, and no limit on it holds."
        )
        if not is_allowed:
            raise BadSetup(f"{why} Say --allow-integrated-gpu to use it all the same.")
        say(f"WARNING: {why}")


def is_integrated(gpu: Gpu, total: str, used: str, root: Path = Path("/")) -> bool:
    """By its name, by the place that it has not on the bus of a Tegra, or since nvidia-smi knows no
    memory of it. `total`, `used`: its memory, as nvidia-smi says it.
    """
    if NAMES.search(gpu.name):
        return True
    if is_tegra(root) and UNKNOWN.fullmatch(gpu.bus.strip()):
        return True
    return bool(UNKNOWN.fullmatch(total) and UNKNOWN.fullmatch(used))


def is_tegra(root: Path = Path("/")) -> bool:
    """Whether the host is one of NVIDIA's systems on a chip."""
    try:
        compatible = (root / "proc/device-tree/compatible").read_bytes()
    except OSError:
        compatible = b""
    return b"nvidia,tegra" in compatible or (root / "etc/nv_tegra_release").exists()


def memories_of(gpus: list[Gpu]) -> dict[str, tuple[str, str]]:
    """All of each GPU's memory, and what of it is in use, as nvidia-smi says it; {} if it says
    nothing now."""
    try:
        (answer,) = ask_nvidia_smi(
            ["--query-gpu=uuid,memory.total,memory.used", "--format=csv,noheader,nounits"],
            seconds=60,
        )
    except GpuTrouble:
        return {}
    return {uuid: (total, used) for uuid, total, used in rows_of(answer, 3)}
