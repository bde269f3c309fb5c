"""What is known of a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

from handouts.client.errors import BadSetup


class Gpu(NamedTuple):
    """One GPU, or one instance of a GPU that is split (MIG), as nvidia-smi describes it."""

    index: str  # "0"; of an instance "0:1"
    uuid: str
    name: str
    architecture: str  # "sm_90"
    driver: str
    bus: str = ""  # "00000000:01:00.0"
    whole: str = ""  # of an instance: the UUID of the GPU that it is a part of
    instance: str = ""  # of an instance: "gi1/ci0"


class GpuTrouble(Exception):
    """A GPU that is to have no jobs; the message says why."""


class SmiSlow(GpuTrouble):
    """nvidia-smi did not answer in time, which by itself says nothing of the GPU."""


class SmiMissing(GpuTrouble):
    """nvidia-smi is not installed."""


class DriverNotReady(BadSetup):
    """The GPUs that are asked for are not there yet, and may be later: the message says why."""


def identity(gpu: Gpu) -> dict[str, Any]:
    """What the queue is sent of it."""
    return {key: getattr(gpu, key) for key in ("index", "uuid", "name", "architecture", "driver")}
