"""What nvidia-smi says of one GPU.

Its text is the same for all drivers, but for some fields that older ones do not know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from handouts.executor.gate.recovery import asks_for_nothing, asks_for_reset
from handouts.executor.machine.driver_tools import in_a_line
from handouts.executor.machine.gpu import Gpu, GpuTrouble
from handouts.executor.machine.nvidia_smi import (
    START_SECONDS,
    ask_nvidia_smi,
    is_failure,
    rows_of,
    says_broken,
)

FIELDS = (
    *("uuid", "memory.used", "temperature.gpu", "clocks.sm", "clocks.mem"),
    *("clocks_event_reasons.active", "gpu_recovery_action"),
)
# Fields that not every driver knows, and what to ask for then; "" for nothing.
OLDER_FIELDS = {
    "clocks_event_reasons.active": "clocks_throttle_reasons.active",  # before 535
    "clocks_throttle_reasons.active": "",
    "gpu_recovery_action": "",
}
# NvmlClocksEventReasons of the NVML reference. Left out: idle, and what somebody set on purpose.
SLOWED_BY = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
}


def number(text: str) -> int | None:
    """A whole number; None for "[N/A]" and the like."""
    return int(float(text)) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def slowed_by(bits: str) -> list[str] | None:
    """In words, from a mask such as 0x0000000000000024; None if it is not known."""
    if not re.fullmatch(r"0x[0-9a-fA-F]+", bits):
        return None
    return sorted({words for bit, words in SLOWED_BY.items() if int(bits, 16) & bit})


class Reading:
    """A GPU at one moment."""

    def __init__(self, row: dict[str, str], processes: list[str]) -> None:
        self._row = row
        self.processes = processes  # on it, as "PID (NAME)"

    @property
    def used_mib(self) -> int | None:
        """The memory in use."""
        return number(self._row["memory.used"])

    @property
    def reset_wanted(self) -> str:
        """The reset or reboot that the driver asks for; "" for none."""
        action = self._row.get("gpu_recovery_action", "")
        return action if asks_for_reset(action) else ""

    @property
    def broken(self) -> str:
        """The field in which the driver says that the GPU is lost or must be reset; "" for none."""
        return next((text for text in self._row.values() if says_broken(text)), "")

    def doubts(self) -> frozenset[str]:
        """What was answered that says neither that the GPU is well nor that it is not: values that
        could not be read, and recovery actions other than a reset."""
        action = self._row.get("gpu_recovery_action", "")
        found = {f"{field} {text}" for field, text in self._row.items() if is_failure(text)}
        if not asks_for_nothing(action) and not asks_for_reset(action):
            found.add(f"gpu_recovery_action {action}")
        return frozenset(found)

    def members(self) -> dict[str, Any]:
        """What a result says of it."""
        older = self._row.get("clocks_throttle_reasons.active", "")
        return {
            "sm_clock_mhz": number(self._row["clocks.sm"]),
            "memory_clock_mhz": number(self._row["clocks.mem"]),
            "temperature_c": number(self._row["temperature.gpu"]),
            "throttled": slowed_by(self._row.get("clocks_event_reasons.active", older)),
        }


class GpuReader:
    """Reads one GPU, with the fields that its driver knows."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._whole = gpu.whole or gpu.uuid
        self._fields = list(FIELDS)

    def read(self, may_start: bool = False) -> Reading:
        """`may_start`: the driver may have to start for it. Raises GpuTrouble."""
        form = ["--format=csv,noheader,nounits", "-i", self._whole]
        questions = (
            ["--query-gpu=" + ",".join(self._fields), *form],
            ["--query-compute-apps=gpu_uuid,pid,process_name", *form],
        )
        patience = {"seconds": START_SECONDS} if may_start else {}
        answer, apps = ask_nvidia_smi(*questions, **patience)
        if self._forget_unknown_field(answer):
            return self.read(may_start)
        rows = [row for row in rows_of(answer, len(self._fields)) if row[0] == self._whole]
        if not rows:
            told = in_a_line(answer) or "it says nothing"
            raise GpuTrouble(f"nvidia-smi does not find it: {told}")
        # Of an instance (MIG) nvidia-smi does not say which processes are on it.
        on_it = [] if self._gpu.whole else rows_of(apps, 3)
        mine = [row for row in on_it if row[0] == self._whole and row[1].isdigit()]
        processes = [f"{row[1]} ({Path(row[2]).name})" for row in mine]
        return Reading(dict(zip(self._fields, rows[0])), processes)

    def _forget_unknown_field(self, answer: str) -> bool:
        """Whether the answer is that there is no such field; it is then asked for otherwise."""
        unknown = re.search(r'Field "([^"]+)" is not a valid field', answer)
        if not unknown or unknown[1] not in self._fields or unknown[1] not in OLDER_FIELDS:
            return False
        older = OLDER_FIELDS[unknown[1]]
        fields = [older if field == unknown[1] else field for field in self._fields]
        self._fields = [field for field in fields if field]
        return True
