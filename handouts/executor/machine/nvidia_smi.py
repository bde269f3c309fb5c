"""Asking nvidia-smi, which hangs when the driver does."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import Any

from handouts.executor.machine.gpu import GpuTrouble, SmiSlow
from handouts.executor.machine.processes import kill_group

SMI_SECONDS = 15  # how long nvidia-smi may take to answer for one GPU


class Hanging:
    """Those nvidia-smi that did not end even after SIGKILL."""

    MAXIMUM = 7

    def __init__(self) -> None:
        self.processes: list[Any] = []

    def check(self) -> None:
        """Raises GpuTrouble if there are too many to start another."""
        self.processes = [process for process in self.processes if process.poll() is None]
        if len(self.processes) > self.MAXIMUM:
            raise GpuTrouble("nvidia-smi hangs, and cannot be killed")

    def dismiss(self, process: Any) -> None:
        """Ends a process; one that hangs in the driver is not waited for."""
        if process.poll() is None:
            kill_group(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            if process.returncode is None:
                self.processes.append(process)
        process.stdout.close()


HANGING = Hanging()


def ask_nvidia_smi(*questions: list[str], seconds: float = SMI_SECONDS) -> list[str]:
    """What nvidia-smi prints when asked each of these, all at once. Raises GpuTrouble.

    Its exit status says little: where one GPU fell off the bus it fails, and lists the others.
    """
    HANGING.check()
    started: list[Any] = []
    try:
        started.extend(map(start_nvidia_smi, questions))
        deadline = time.monotonic() + seconds
        return [read_answer(process, deadline) for process in started]
    except OSError as error:
        raise GpuTrouble(f"nvidia-smi cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SmiSlow(f"nvidia-smi does not answer within {seconds} s") from None
    finally:
        for process in started:
            HANGING.dismiss(process)


def start_nvidia_smi(question: list[str]) -> Any:
    """The process, in a group of its own so that it can be killed with its children."""
    return subprocess.Popen(
        ["nvidia-smi", *question],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def read_answer(process: Any, deadline: float) -> str:
    """All that it prints. Raises TimeoutExpired."""
    answer, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    return answer.decode("utf-8", "replace")


def rows_of(answer: str, columns: int) -> list[list[str]]:
    """The rows of nvidia-smi's CSV; a line with fewer columns is a message, not a row.

    It quotes nothing, so a field that may hold a comma has to be asked for last.
    """
    rows = [[cell.strip() for cell in line.split(",", columns - 1)] for line in answer.splitlines()]
    return [row for row in rows if len(row) == columns]
