"""Drivers with known vulnerabilities, which programs in the sandbox can reach."""

from __future__ import annotations

import re

from handouts.executor.machine.gpu import Gpu

# The first version of each branch with all mends, by NVIDIA's security bulletins for the GPU
# display driver on Linux: 5861 (September 2026), https://github.com/NVIDIA/product-security.
BULLETIN = "NVIDIA's security bulletin 5861, September 2026"
MENDED = {580: (178, 4), 595: (91, 7), 610: (57, 4), 615: (71, 9)}


def driver_warning(driver: str) -> str:
    """What is wrong with a driver such as "580.95.05", "" for nothing that is known.

    A branch that the bulletin does not name has no mended version; one that is newer than all that
    it names is not judged.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", driver)
    if not found:
        return ""
    branch, version = int(found[1]), (int(found[2]), int(found[3] or "0"))
    if branch > max(MENDED) or version >= MENDED.get(branch, (1 << 30, 0)):
        return ""
    if branch in MENDED:
        first = MENDED[branch]
        return (
            f"driver {driver} has known vulnerabilities: install {branch}.{first[0]}.{first[1]:02} "
            f"or newer ({BULLETIN})"
        )
    branches = ", ".join(f"R{known}" for known in MENDED)
    return (
        f"driver {driver} is of branch R{branch}, for which there is no mended version: "
        f"install one of {branches} ({BULLETIN})"
    )


def driver_warnings(gpus: list[Gpu]) -> list[str]:
    """Those of all drivers here, each once."""
    return sorted({driver_warning(gpu.driver) for gpu in gpus} - {""})
