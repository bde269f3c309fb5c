"""Which of an executor's GPUs work, and which of its platforms they serve.

An executor reports its GPUs and, apart from them, its places by platform. Which GPU serves which
platform is found by their names: `h100` is in "NVIDIA H100 80GB HBM3".
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.utils.dateparse import parse_datetime

from accounts.models import CPU, CUDA, Gpu

BROKEN = "quarantined"  # the condition of a GPU that gets no jobs


class Working(NamedTuple):
    """What of a platform works at an executor, whether that is heard of or not."""

    places: int  # jobs at once
    gpus: int  # that serve it
    stopped_at: datetime | None = None  # of one without places, where that is known


def working(slots: dict[str, int], gpus: list[Gpu]) -> dict[str, Working]:
    """By platform, as the executor calls it; `slots`: the places that it offers, working or not."""
    kinds = [name for name in slots if name not in (CPU, CUDA)]
    kind_of = {gpu.uuid: _kind_of(gpu, kinds) for gpu in gpus}
    found = {}
    for name, count in slots.items():
        serve = [gpu for gpu in gpus if name == CUDA or kind_of[gpu.uuid] == name]
        if not serve and name != CPU:  # a name that says nothing of the hardware
            serve = gpus
        found[name] = Working(count, 0) if name == CPU else _of(count, serve)
    return found


def _of(count: int, gpus: list[Gpu]) -> Working:
    broken = [gpu for gpu in gpus if gpu.condition == BROKEN]
    work = len(gpus) - len(broken)
    places = min(count, work) if broken else count
    return Working(places, work, None if places else _latest(gpu.since for gpu in broken))


def _kind_of(gpu: Gpu, kinds: list[str]) -> str:
    """The platform of a GPU's kind; "" for none. The longest, since `l4` is in "L40S" too."""
    fit = [kind for kind in kinds if _is_named(gpu.name, kind)]
    return max(fit, key=len, default="")


def _is_named(name: str, kind: str) -> bool:
    """Whether the words of a platform stand in a GPU's name, in that order."""
    words = [re.sub(r"[^a-z0-9]", "", word) for word in kind.lower().split("-")]
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.search(".*".join(map(re.escape, words)), letters) is not None


def _latest(times: Iterable[str]) -> datetime | None:
    """The latest of those that are times with a zone; None if none is."""
    found = []
    for text in times:
        try:
            moment = parse_datetime(text)
        except ValueError:  # it has the form of a time and is none
            continue
        if moment is not None and moment.tzinfo is not None:
            found.append(moment)
    return max(found, default=None)
