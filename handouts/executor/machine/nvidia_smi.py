"""Asking nvidia-smi, and reading the text that it answers with."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import Any

from handouts.executor.machine.driver_tools import HANGING, read_answer, start_tool
from handouts.executor.machine.gpu import GpuTrouble, SmiMissing, SmiSlow

SMI_SECONDS = 15  # how long nvidia-smi may take to answer for one GPU
# And where it may have to start the driver first: 30 s were seen on A100s without persistence
# mode (https://github.com/Azure/aks-gpu/pull/105).
START_SECONDS = 60

# What stands in a field that has no value: this GPU lacks that. Compared in small letters.
LACKING = frozenset(["", "n/a", "none", "not supported", "not available", "not applicable"])


def ask_nvidia_smi(*questions: list[str], seconds: float = SMI_SECONDS) -> list[str]:
    """What nvidia-smi prints when asked each of these, all at once. Raises GpuTrouble.

    Its exit status says little: where one GPU fell off the bus it fails, and lists the others.
    """
    HANGING.check()
    path = shutil.which("nvidia-smi")
    if not path:
        raise SmiMissing("nvidia-smi cannot be run: No such file or directory")
    started: list[Any] = []
    try:
        started.extend(start_tool(path, question) for question in questions)
        deadline = time.monotonic() + seconds
        return [read_answer(process, deadline) for process in started]
    except OSError as error:
        raise GpuTrouble(f"nvidia-smi cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SmiSlow(f"nvidia-smi does not answer within {seconds} s") from None
    finally:
        for process in started:
            HANGING.dismiss(process)


def rows_of(answer: str, columns: int) -> list[list[str]]:
    """The rows of nvidia-smi's CSV; a line with fewer columns is a message, not a row.

    It quotes nothing, so a field that may hold a comma has to be asked for last.
    """
    rows = [[cell.strip() for cell in line.split(",", columns - 1)] for line in answer.splitlines()]
    return [row for row in rows if len(row) == columns]


def is_lacking(field: str) -> bool:
    """Whether the GPU has no such value at all: "[N/A]", "[Not Supported]" and the like."""
    return field.strip().strip("[]").strip().lower() in LACKING


def is_failure(field: str) -> bool:
    """Whether a value could not be had: "[Unknown Error]", "[Insufficient Permissions]", "ERR!"
    and whatever else stands in brackets, but for what is_lacking."""
    text = field.strip()
    in_brackets = text.startswith("[") and text.endswith("]")
    is_bare = text.lower() in ("err!", "error", "unknown error", "insufficient permissions")
    return (in_brackets or is_bare) and not is_lacking(text)


def says_broken(field: str) -> bool:
    """Whether a value could not be had because no program can use the GPU until it is reset, or at
    all: "[GPU is lost]", "[GPU requires reset]"."""
    return field.strip().strip("[]").strip().lower() in ("gpu is lost", "gpu requires reset")


def is_value(field: str) -> bool:
    """Whether it is neither of these."""
    return not is_lacking(field) and not is_failure(field)
