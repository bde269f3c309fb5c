"""Which GPUs this machine has."""

from __future__ import annotations

import argparse
import os
import re
from typing import NamedTuple

from handouts.client.errors import BadSetup
from handouts.executor.machine.driver_tools import in_a_line
from handouts.executor.machine.gpu import DriverNotReady, Gpu, GpuTrouble, SmiMissing
from handouts.executor.machine.gpu_choice import chosen_gpus
from handouts.executor.machine.gpu_instances import find_instances
from handouts.executor.machine.nvidia_smi import (
    START_SECONDS,
    ask_nvidia_smi,
    is_failure,
    is_value,
    rows_of,
)
from handouts.executor.machine.pci import gpus_on_bus, pci_place

# The name comes last, because it may hold a comma.
DISCOVERY_FIELDS = (
    *("index", "uuid", "compute_cap", "driver_version", "pci.bus_id", "mig.mode.current"),
    "name",
)


class Listing(NamedTuple):
    """The GPUs that work, and why there may soon be more of them, "" if nothing says so."""

    gpus: list[Gpu]
    not_yet: str


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine, in the order of their places on the bus. Raises BadSetup.

    Of a GPU that is split (MIG), its instances. Where CUDA_VISIBLE_DEVICES is set in this
    process's environment, those that it names.
    """
    return list_gpus().gpus


def list_gpus() -> Listing:
    """The same, with what is said of GPUs that are not ready. Raises BadSetup."""
    query = "--query-gpu=" + ",".join(DISCOVERY_FIELDS)
    try:
        (answer,) = ask_nvidia_smi([query, "--format=csv,noheader"], seconds=START_SECONDS)
    except SmiMissing as missing:
        # Without a GPU on the bus nobody is going to install a driver at boot.
        return Listing([], str(missing) if gpus_on_bus() else "")
    except GpuTrouble as trouble:
        return Listing([], str(trouble))
    listing = read_listing(answer)
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not listing.gpus:
        return listing
    try:
        return Listing(chosen_gpus(listing.gpus, allowed), listing.not_yet)
    except BadSetup as error:
        if not listing.not_yet:
            raise
        raise DriverNotReady(f"{error} ({listing.not_yet})") from None


def read_listing(answer: str) -> Listing:
    """From nvidia-smi's answer about DISCOVERY_FIELDS. Raises BadSetup."""
    unknown = re.search(r'Field "([^"]+)" is not a valid field', answer)
    if unknown:
        raise BadSetup(f"nvidia-smi knows no {unknown[1]}: install a newer driver, R535 or later.")
    gpus: list[Gpu] = []
    troubles: list[str] = []
    listed = set()
    for row in rows_of(answer, len(DISCOVERY_FIELDS)):
        fields = dict(zip(DISCOVERY_FIELDS, row))
        if not fields["uuid"].startswith("GPU-") or not fields["index"].isdigit():
            troubles.append(f"nvidia-smi says of a GPU: {in_a_line(', '.join(row))}")
            continue
        listed.add(pci_place(fields["pci.bus_id"]))
        gpu = gpu_from(fields)
        if not gpu.architecture:
            troubles.append(f"GPU {gpu.index} has compute capability {fields['compute_cap']!r}")
            continue
        found = parts_of(gpu, fields["mig.mode.current"])
        if not found:
            troubles.append(f"GPU {gpu.index} is split (MIG) and has no instances")
        gpus += found
    troubles += messages_in(answer)
    missing = gpus_on_bus() - listed
    if missing:
        troubles.append(f"{len(missing)} of NVIDIA's GPUs on the bus are not listed")
    if not gpus and not troubles:
        troubles.append("it says nothing")
    return Listing(gpus, troubles[0] if troubles else "")


def messages_in(answer: str) -> list[str]:
    """What nvidia-smi says between the rows, of a driver that is not up or a GPU that is lost."""
    lines = [line.strip() for line in answer.splitlines()]
    return [
        f"nvidia-smi says: {in_a_line(line)}"
        for line in lines
        if line.count(",") < len(DISCOVERY_FIELDS) - 1 and line and not line.startswith("WARNING")
    ]


def gpu_from(fields: dict[str, str]) -> Gpu:
    """A GPU from a row. What could not be read is left out; of a GPU without an architecture
    nothing can be compiled."""
    capability = fields["compute_cap"]
    is_known = re.fullmatch(r"\d+\.\d+", capability)
    driver, bus, name = fields["driver_version"], fields["pci.bus_id"], fields["name"]
    return Gpu(
        fields["index"],
        fields["uuid"],
        name if is_value(name) else "NVIDIA GPU",
        "sm_" + capability.replace(".", "") if is_known else "",
        driver if is_value(driver) else "unknown",
        bus if pci_place(bus) else "",
    )


def parts_of(gpu: Gpu, split: str) -> list[Gpu]:
    """The GPU, or its instances. Raises BadSetup.

    Where nvidia-smi cannot say whether a GPU is split, it is if it has instances.
    """
    if split.lower() == "enabled":
        return find_instances(gpu)
    return (find_instances(gpu) if is_failure(split) else []) or [gpu]


def why_no_gpu() -> str:
    """What nvidia-smi says where no GPU was found."""
    try:
        (answer,) = ask_nvidia_smi(["-L"], seconds=START_SECONDS)
    except GpuTrouble as trouble:
        return str(trouble)
    return f"nvidia-smi says: {in_a_line(answer) or 'nothing'}"


def gpus_for_workers(options: argparse.Namespace) -> list[Gpu]:
    """As many GPUs as there are execution workers.

    Raises DriverNotReady if waiting may mend that there are fewer, and BadSetup if not.
    """
    (gpus, not_yet), wanted = list_gpus(), options.nproc_execute
    if wanted > len(gpus):
        found = f"{len(gpus)}" if gpus else f"0; {not_yet or why_no_gpu()}"
        message = (
            f"--nproc-execute {wanted} asks for more GPUs than there are ({found}); each "
            "execution worker needs one of its own. On a machine without GPUs, say --no-gpu."
        )
        if not not_yet:
            raise BadSetup(message)
        raise DriverNotReady(f"{message} Not ready: {not_yet}." if gpus else message)
    return gpus[:wanted]
