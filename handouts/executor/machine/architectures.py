"""The architectures that programs are compiled for."""

from __future__ import annotations

import re


def best_variant(architecture: str, nvcc: str) -> str:
    """With all that the GPU can: from 9.0 on, much of it is in the "a" variant alone.

    `nvcc`: its version, such as "13.0". Those before 12.0 know no such variants.
    """
    number = re.fullmatch(r"sm_(\d+)", architecture)
    has_variant = number is not None and int(number[1]) >= 90 and not nvcc.startswith("11.")
    return architecture + "a" if has_variant else architecture


def architecture_flags(architectures: list[str]) -> list[str]:
    """nvcc's arguments for a program that runs on all of them; [] is nvcc's own choice."""
    if len(architectures) == 1 and architectures[0][-1:].isdigit():
        return ["-arch=" + architectures[0]]
    # -arch=sm_90a would make the program for compute_90 too, which has not all that 90a has.
    numbers = [architecture.replace("sm_", "", 1) for architecture in architectures]
    return [f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers]
