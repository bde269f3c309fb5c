"""The instances of a GPU that is split (MIG)."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from handouts.client.errors import BadSetup
from handouts.executor.machine.gpu import DriverNotReady, Gpu, GpuTrouble
from handouts.executor.machine.nvidia_smi import START_SECONDS, ask_nvidia_smi


def find_instances(gpu: Gpu) -> list[Gpu]:
    """The instances of a GPU. Raises DriverNotReady if nvidia-smi does not tell them.

    Only `nvidia-smi -L` has their UUIDs, and only its XML which device files are theirs.
    """
    try:
        listed, described = ask_nvidia_smi(
            ["-L"], ["-q", "-x", "-i", gpu.uuid], seconds=START_SECONDS
        )
        instances = listed_instances(listed, gpu.uuid)
        places = instance_places(described) if instances else {}
    except (GpuTrouble, ElementTree.ParseError) as error:
        raise DriverNotReady(
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
        for profile, number, uuid in instances
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
    if not re.fullmatch(r"gi\d+/ci\d+", places.get(number, "")):
        raise BadSetup(f"nvidia-smi does not say which device files are those of {uuid}.")
    return places[number]
