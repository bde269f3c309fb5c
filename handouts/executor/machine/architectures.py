"""Names of GPU architectures, and what nvcc is told to compile for them.

An architecture is kept as text: "sm_90", with a suffix "sm_90a" (the features of that one kind of
GPU, such as wgmma), or "compute_80:sm_90" where PTX and machine code are of different ones.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable

ARCHITECTURE_KIND = r"\d{2,3}[af]?"
ONE_ARCHITECTURE = re.compile(rf"(?:sm_)?({ARCHITECTURE_KIND})")
ARCHITECTURE_PAIR = re.compile(
    rf"(?:arch=)?compute_({ARCHITECTURE_KIND})(?:,code=|:)"
    rf"(\[?(?:sm|compute|lto)_{ARCHITECTURE_KIND}(?:,(?:sm|compute|lto)_{ARCHITECTURE_KIND})*\]?)"
)
FIRST_WITH_FEATURES = 90  # of its own: from here on a GPU's full set has the suffix a
NAMES_ARCHITECTURE = re.compile(
    r"--?(arch|gpu-architecture|gencode|generate-code|code|gpu-code)(=.*)?"
)
WHOLE_ARCHITECTURE = re.compile(rf"--?(?:arch|gpu-architecture)=(sm_{ARCHITECTURE_KIND}|native)")


def architecture(text: str) -> str:
    """An option's value: sm_90, 90a, compute_90a:sm_90a, or as nvcc's -gencode takes it.

    Raises ArgumentTypeError.
    """
    named = ONE_ARCHITECTURE.fullmatch(text)
    if named:
        return "sm_" + named[1]
    pair = ARCHITECTURE_PAIR.fullmatch(text)
    if not pair:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an architecture like sm_90, sm_90a or arch=compute_90a,code=sm_90a"
        )
    virtual, real = pair[1], pair[2].strip("[]")
    return real if real == "sm_" + virtual else f"compute_{virtual}:{real}"


def full_architecture(of_gpu: str, nvcc: str) -> str:
    """A GPU's own with all that it can: "sm_90" is sm_90a, and "sm_89" stays what it is.

    `nvcc`: its version, such as "13.0". Those before 12 know no suffixes.
    """
    match = re.fullmatch(r"sm_(\d+)", of_gpu)
    has_suffix = match is not None and int(match[1]) >= FIRST_WITH_FEATURES
    return of_gpu + "a" if has_suffix and not nvcc.startswith("11.") else of_gpu


def architecture_flags(architectures: Iterable[str], with_ptx: bool = False) -> list[str]:
    """What nvcc is given, so that the program has code for each of them.

    `with_ptx`: its PTX is in the program too, to be read.
    """
    names = list(architectures)
    if len(names) == 1 and re.fullmatch(r"sm_\d+", names[0]):
        # Short for its code and its PTX. With a suffix it would stand for two kinds of PTX, one of
        # them without the features: nvcc 13 then fails for a program that uses them.
        return [f"-arch={names[0]}"]
    flags = []
    for name in names:
        virtual, _, real = name.rpartition(":")
        virtual = virtual or "compute_" + name[len("sm_") :]
        codes = real.split(",")
        codes += [virtual] if with_ptx and virtual not in codes else []
        flags += [f"-gencode=arch={virtual},code={code}" for code in codes]
    return flags


def job_names_architecture(flags: Iterable[str]) -> bool:
    """Whether a job's flags say what it is compiled for."""
    return any(NAMES_ARCHITECTURE.fullmatch(flag) for flag in flags)


def with_plain_architectures(flags: Iterable[str], own: Iterable[str]) -> list[str]:
    """The flags, with -arch=sm_90a and -arch=native (`own`) said as `architecture_flags` does."""
    told = []
    for flag in flags:
        whole = WHOLE_ARCHITECTURE.fullmatch(flag)
        if whole:
            told += architecture_flags([whole[1]] if whole[1] != "native" else own)
        else:
            told.append(flag)
    return told
