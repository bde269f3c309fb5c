"""Bringing the driver up, and waiting for it: just after boot it is not there yet."""

from __future__ import annotations

import argparse
import os
import time

from handouts.executor.base.say import say
from handouts.executor.machine.device_files import MissingNode, device_nodes
from handouts.executor.machine.driver_tools import run_tool
from handouts.executor.machine.gpu import DriverNotReady, Gpu, GpuTrouble
from handouts.executor.machine.gpu_discovery import gpus_for_workers
from handouts.executor.machine.nvidia_smi import START_SECONDS, ask_nvidia_smi, rows_of

DRIVER_SECONDS, DRIVER_RETRY_SECONDS = 120.0, 2.0  # for the driver, in all and between two tries
MODPROBE_SECONDS = 30.0


def gpus_when_ready(options: argparse.Namespace) -> list[Gpu]:
    """As many GPUs as there are execution workers, with their device files; waits for a driver
    that is not up yet. Raises DriverNotReady if it is still not then, and BadSetup if waiting
    cannot help."""
    deadline = time.monotonic() + DRIVER_SECONDS
    said = ""
    while True:
        # Loads nvidia-uvm and makes its device file: the driver's own udev rule does not
        # (https://github.com/NVIDIA/libnvidia-container/pull/388).
        problem = nvidia_modprobe(["-u", "-c", "0"])
        try:
            return ready_gpus(options, problem)
        except DriverNotReady as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if str(error) != said:
                said = str(error)
                say(f"{said} Waiting for the driver, up to {left:.0f} s.")
        time.sleep(DRIVER_RETRY_SECONDS)


def ready_gpus(options: argparse.Namespace, problem: str = "") -> list[Gpu]:
    """The same without waiting. `problem`: what nvidia-modprobe said."""
    gpus = gpus_for_workers(options)
    if options.sandbox != "none":  # without one, CUDA makes the device files itself
        for gpu in gpus:
            make_nodes(gpu, problem)
    return gpus


def make_nodes(gpu: Gpu, problem: str = "") -> list[str]:
    """The device files of a GPU; makes those that are missing. Raises DriverNotReady, BadSetup."""
    tried: set[str] = set()
    while True:
        try:
            return device_nodes(gpu)
        except MissingNode as missing:
            if missing.node in tried:
                why = f" It was tried: {problem}." if problem else ""
                raise DriverNotReady(f"{missing}{why}") from None
            tried.add(missing.node)
            problem = nvidia_modprobe(missing.arguments) or problem


def nvidia_modprobe(arguments: list[str]) -> str:
    """Loads a module or makes a device file; what went wrong, "" if nothing did. It is setuid
    root on most hosts, so it is tried by other users too."""
    try:
        return run_tool("nvidia-modprobe", arguments, MODPROBE_SECONDS)
    except (GpuTrouble, OSError) as error:
        return str(error)


def without_persistence(gpus: list[Gpu]) -> set[str]:
    """The UUIDs of those whole GPUs whose driver stops when nobody uses it. As root, turns
    persistence mode on first; says where that fails."""
    wholes = sorted({gpu.whole or gpu.uuid for gpu in gpus})
    if not wholes:
        return set()
    modes = persistence_modes()
    others = [uuid for uuid in wholes if modes.get(uuid) != "enabled"]
    if others and os.geteuid() == 0:
        problem = turn_persistence_on(others)
        modes = persistence_modes()
        off = sum(modes.get(uuid) == "disabled" for uuid in others)
        if off:
            say(
                f"Persistence mode stays off on {off} GPUs ({problem or 'nvidia-smi says nothing'})"
                ": each is held open instead while it works. nvidia-smi -pm 1 turns it on."
            )
    return {uuid for uuid in wholes if modes.get(uuid) == "disabled"}


def turn_persistence_on(uuids: list[str]) -> str:
    """What nvidia-smi says of it, in a line."""
    try:
        answers = ask_nvidia_smi(
            *(["-pm", "1", "-i", uuid] for uuid in uuids), seconds=START_SECONDS
        )
    except GpuTrouble as trouble:
        return str(trouble)
    return " ".join(" ".join(answers).split())[:200]


def persistence_modes() -> dict[str, str]:
    """Of each GPU, by its UUID, "enabled" or "disabled"; of none that nvidia-smi does not tell."""
    query = ["--query-gpu=uuid,persistence_mode", "--format=csv,noheader"]
    try:
        (answer,) = ask_nvidia_smi(query, seconds=START_SECONDS)
    except GpuTrouble:
        return {}
    return {uuid: mode.lower() for uuid, mode in rows_of(answer, 2)}
