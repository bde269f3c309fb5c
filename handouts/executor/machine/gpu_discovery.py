"""Which GPUs this machine has."""

from __future__ import annotations

import argparse
import os
import re
from xml.etree import ElementTree

from handouts.client.errors import BadSetup
from handouts.executor.machine.gpu import Gpu, GpuTrouble
from handouts.executor.machine.gpu_choice import chosen_gpus
from handouts.executor.machine.nvidia_smi import ask_nvidia_smi, rows_of


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine, in the order of their places on the bus. Raises BadSetup.

    Of a GPU that is split (MIG), its instances. Where CUDA_VISIBLE_DEVICES is set in this
    process's environment, those that it names.
    """
    query = "--query-gpu=index,uuid,name,compute_cap,driver_version,pci.bus_id,mig.mode.current"
    try:
        (answer,) = ask_nvidia_smi([query, "--format=csv,noheader"], seconds=60)
    except GpuTrouble:
        return []
    gpus: list[Gpu] = []
    for index, gpu_uuid, name, capability, driver, bus, split in rows_of(answer, 7):
        gpu = Gpu(index, gpu_uuid, name, "sm_" + capability.replace(".", ""), driver, bus)
        gpus += find_instances(gpu) if split == "Enabled" else [gpu]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if allowed is None else chosen_gpus(gpus, allowed)


def why_no_gpu() -> str:
    """What nvidia-smi says where no GPU was found."""
    try:
        (answer,) = ask_nvidia_smi(["-L"], seconds=60)
    except GpuTrouble as trouble:
        return str(trouble)
    return f"nvidia-smi says: {' '.join(answer.split())[:200] or 'nothing'}"


def gpus_for_workers(options: argparse.Namespace) -> list[Gpu]:
    """As many GPUs as there are execution workers. Raises BadSetup."""
    gpus, wanted = find_gpus(), options.nproc_execute
    if wanted > len(gpus):
        found = f"{len(gpus)}" if gpus else f"0; {why_no_gpu()}"
        raise BadSetup(
            f"--nproc-execute {wanted} asks for more GPUs than there are ({found}); each "
            "execution worker needs one of its own. On a machine without GPUs, say --no-gpu."
        )
    return gpus[:wanted]


def find_instances(gpu: Gpu) -> list[Gpu]:
    """The instances of a GPU that is split (MIG). Raises BadSetup if nvidia-smi is not understood.

    Only `nvidia-smi -L` has their UUIDs, and only its XML which device files are theirs.
    """
    try:
        listed, described = ask_nvidia_smi(["-L"], ["-q", "-x", "-i", gpu.uuid], seconds=60)
        places = instance_places(described)
    except (GpuTrouble, ElementTree.ParseError) as error:
        raise BadSetup(
            f"GPU {gpu.index} is split (MIG), and its instances are not told: {error}."
        ) from None
    return [
        gpu._replace(
            index=f"{gpu.index}:{number}",
            uuid=uuid,
            whole=gpu.uuid,
            name=f"{gpu.name} MIG {profile}",
            instance=place_of_instance(places, number, uuid),
        )
        for profile, number, uuid in listed_instances(listed, gpu.uuid)
    ]


def listed_instances(listed: str, whole: str) -> list[tuple[str, str, str]]:
    """Profile, number and UUID of each instance of one GPU, from `nvidia-smi -L`."""
    found, of_this = [], False
    for line in listed.splitlines():
        of_this = whole in line if line.startswith("GPU ") else of_this
        match = re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)\s]+)\)", line)
        if match and of_this:
            found.append((match[1], match[2], match[3]))
    return found


def instance_places(described: str) -> dict[str, str]:
    """Where each instance is, by its number, as in {"0": "gi1/ci0"}."""
    xml = described[described.find("<") : described.rfind(">") + 1]
    tree = ElementTree.fromstring(xml)  # noqa: S314  (nvidia-smi is trusted)
    return {
        str(one.findtext("index")): (
            f"gi{one.findtext('gpu_instance_id')}/ci{one.findtext('compute_instance_id')}"
        )
        for one in tree.iter("mig_device")
    }


def place_of_instance(places: dict[str, str], number: str, uuid: str) -> str:
    """Raises BadSetup."""
    if number not in places:
        raise BadSetup(f"nvidia-smi does not say which device files are those of {uuid}.")
    return places[number]
