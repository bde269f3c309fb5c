"""Which of the machine's GPUs this executor may use."""

from __future__ import annotations

from handouts.client.errors import BadSetup
from handouts.executor.machine.gpu import Gpu


def chosen_gpus(gpus: list[Gpu], allowed: str) -> list[Gpu]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names. Raises BadSetup.

    They are named by index, UUID, or the beginning of a UUID; the name of a GPU that is split
    stands for its instances. CUDA itself would show fewer GPUs without an error.
    """
    chosen: list[Gpu] = []
    for name in map(str.strip, allowed.split(",")):
        named = gpus_named(gpus, name)
        wholes = {gpu.whole or gpu.uuid for gpu in named}
        if len(wholes) != 1 or (len(named) > 1 and name.startswith("MIG-")):
            all_gpus = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) or "none"
            raise BadSetup(
                f"CUDA_VISIBLE_DEVICES is {allowed!r}, and {what_it_names(name, bool(named))}. "
                f"Unset it, or name GPUs by index or UUID; here are: {all_gpus}."
            )
        if set(named) & set(chosen):
            raise BadSetup(
                f"CUDA_VISIBLE_DEVICES is {allowed!r}, which names GPU {named[0].index} twice."
            )
        chosen += named
    return chosen


def gpus_named(gpus: list[Gpu], name: str) -> list[Gpu]:
    """The GPUs that may be meant by one name; of several whole GPUs if it is ambiguous."""
    exact = [gpu for gpu in gpus if name in names_of(gpu)]
    if exact:
        return exact
    if name.startswith("GPU-"):
        return [gpu for gpu in gpus if (gpu.whole or gpu.uuid).startswith(name)]
    if name.startswith("MIG-"):
        return [gpu for gpu in gpus if gpu.uuid.startswith(name)]
    return []


def names_of(gpu: Gpu) -> list[str]:
    """Index and UUID, and of an instance those of the whole GPU."""
    names = [gpu.index, gpu.uuid]
    if not gpu.whole:
        return names
    # As Slurm and drivers before R470 write an instance; CUDA takes it to this day.
    place = gpu.instance.replace("gi", "").replace("ci", "")  # "7/0"
    return [*names, gpu.whole, gpu.index.partition(":")[0], f"MIG-{gpu.whole}/{place}"]


def what_it_names(name: str, is_ambiguous: bool) -> str:
    """What is wrong with a name, for the message."""
    if not name or name == "-1":
        return "so gives this executor no GPU"
    return f"{name} is the name of {'several GPUs' if is_ambiguous else 'no GPU here'}"
