"""Running NVIDIA's tools, which hang when the driver does."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress
from typing import Any

from handouts.executor.machine.gpu import GpuTrouble
from handouts.executor.machine.processes import kill_group

# These tools close every descriptor that they might have before they start another program: with
# a limit of 2^30, as container runtimes set it, that took 24 s
# (https://github.com/NVIDIA/nvidia-container-toolkit/issues/1053). A shell lowers the limit and
# becomes the tool: no moment in which it runs without, and no code between fork and exec of a
# process that has threads. Where fewer are allowed, that stays.
WITH_FEW_DESCRIPTORS = 'ulimit -S -n 1024 2>/dev/null; exec "$@"'
TOOL_FOLDERS = "/usr/bin:/usr/sbin:/bin:/sbin"  # where root's tools are, whatever the PATH


class Hanging:
    """Those tools that did not end even after SIGKILL, and those that are asked now."""

    MAXIMUM = 7

    def __init__(self) -> None:
        self.processes: list[Any] = []
        self._asked: set[Any] = set()  # those that are waited for now

    def watch(self, process: Any) -> None:
        """It runs until `dismiss`."""
        self._asked.add(process)

    def kill_all(self) -> None:
        """For a process that ends at once, so that what it asked does not outlive it."""
        for process in list(self._asked):
            kill_group(process.pid)

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
        self._asked.discard(process)


HANGING = Hanging()


def start_tool(path: str, arguments: list[str]) -> Any:
    """The process, in a group of its own so that it can be killed with its children."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", WITH_FEW_DESCRIPTORS, "sh", path, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    HANGING.watch(process)
    return process


def read_answer(process: Any, deadline: float) -> str:
    """All that it prints. Raises TimeoutExpired."""
    answer, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    return answer.decode("utf-8", "replace")


def run_tool(name: str, arguments: list[str], seconds: float) -> str:
    """Runs a tool to its end; what went wrong, "" if nothing did."""
    path = shutil.which(name) or shutil.which(name, path=TOOL_FOLDERS)
    if not path:
        return f"{name} is not installed"
    HANGING.check()
    process = start_tool(path, arguments)
    try:
        answer = read_answer(process, time.monotonic() + seconds)
    except subprocess.TimeoutExpired:
        return f"{name} does not end within {seconds:g} s"
    finally:
        HANGING.dismiss(process)
    if process.returncode == 0:
        return ""
    return f"{name} says: {in_a_line(answer) or f'nothing, and ends with {process.returncode}'}"


def in_a_line(answer: str) -> str:
    """What a tool printed, short enough for a message."""
    return " ".join(answer.split())[:200]
