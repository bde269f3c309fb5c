"""What the driver says that a GPU needs, in nvidia-smi's field and in the message of Xid 154.

The numbers are nvmlDeviceGpuRecoveryAction_t of the NVML reference (R570 to R610). The words differ
by driver: Xid 154 had "GPU Reset Required" and "PF FLR" for 1, "Node Reboot Required" and
"OS Reboot" for 2. Number 5 was a reset of the bus for a while, and is now the recovery of an IMEX
domain, which leaves the GPU usable.
"""

from __future__ import annotations

import re

from handouts.executor.machine.nvidia_smi import is_lacking

RECOVERY_XID = 154  # "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
RESET_ACTIONS = frozenset([1, 2, 4, 6, 7])  # not 0, none; 3, drain P2P; 5, IMEX domain
RESET_WORDS = frozenset(
    [
        *("reset", "reboot", "drain and reset", "gpu reset required", "node reboot required"),
        *("gpu reset", "node reboot", "drain p2p and reset", "pf flr", "os reboot", "bus reset"),
        *("gpu reset bus", "bus reset required", "system reboot", "system reboot required"),
    ]
)


def asks_for_reset(action: str) -> bool:
    """Whether a recovery action in words is one of those after which the GPU works again, and
    before which it may not."""
    return " ".join(re.split(r"[\s_]+", action.strip(" ."))).lower() in RESET_WORDS


def asks_for_nothing(action: str) -> bool:
    """Whether there is none, or the driver knows of none. All else is a reason to try the GPU."""
    return is_lacking(action)


def xid_asks_for_reset(message: str) -> bool:
    """The same as asks_for_reset, for the message of Xid 154."""
    found = re.search(r"\bto\s+(0x[0-9a-f]+|\d+)\s*(?:\(([^)]*)\))?", message, re.IGNORECASE)
    if not found:
        return False
    number = int(found[1], 16 if "x" in found[1].lower() else 10)
    return number in RESET_ACTIONS or asks_for_reset(found[2] or "")
