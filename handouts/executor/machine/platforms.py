"""Platforms: the names of hardware that jobs ask for."""

from __future__ import annotations

import re

CUDA, CPU = "cuda", "cpu"  # any GPU; none
LONGEST_PLATFORM = 40  # characters

# Words of a GPU's name that say who sells it, how it is built in, or how much memory it has.
LEFT_OUT = re.compile(
    r"nvidia|corporation|geforce|tesla|generation|edition|server|workstation|gpu|graphics"
    r"|pcie|sxm\d*|nvl\d*|fhhl|ac|lc|hbm\d*e?|gddr\d*x?|[\d.]+[gt]i?b?"
)


def kind_of(name: str) -> str:
    """The short name of a GPU's kind, from the name that nvidia-smi gives it.

    "NVIDIA H100 80GB HBM3" is "h100". An instance of a GPU that is split has its profile too, as
    in "h100-mig-1g.10gb". Lower case, [a-z0-9.-], at most LONGEST_PLATFORM characters.
    """
    whole, _, profile = name.lower().partition(" mig ")
    parts = [word for word in words_of(whole) if not LEFT_OUT.fullmatch(word)]
    kind = "-".join(parts)
    kind = re.sub(r"\b([a-z]+)-(?=\d{3,4}[a-z]*\b)", r"\1", kind)  # "rtx-4000" is "rtx4000"
    if kind in ("", CUDA, CPU):
        kind = "-".join(words_of(whole)) if kind else "gpu"
        kind = kind if kind not in (CUDA, CPU) else "gpu-" + kind
    instance = "-mig-" + "-".join(words_of(profile)) if profile else ""
    instance = instance[:LONGEST_PLATFORM]
    return (kind[: LONGEST_PLATFORM - len(instance)].strip("-.") + instance).strip("-.")


def words_of(text: str) -> list[str]:
    """Its words of letters, digits and points."""
    words = [word.strip(".") for word in re.split(r"[^a-z0-9.]+", text)]
    return [word for word in words if word]
