"""Many numbers in a few characters: "1-5,9"."""

import re
from collections.abc import Iterable
from itertools import groupby

_FORM = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?(,[0-9]{1,18}(-[0-9]{1,18})?)*")


def written(numbers: Iterable[int]) -> str:
    """Numbers as ranges."""
    runs = []
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        runs.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(runs)


def first_after(text: str, number: int) -> int | None:
    """The smallest of them that is larger than `number`."""
    for run in text.split(",") if text else ():
        first, _, last = run.partition("-")
        if number < int(last or first):
            return max(int(first), number + 1)
    return None


def read(text: str, most: int) -> list[int]:
    """The numbers in such a text, each once. Raises ValueError for another text, and for more."""
    if not _FORM.fullmatch(text):
        raise ValueError("not ranges of numbers")
    numbers: set[int] = set()
    for run in text.split(","):
        first, _, last = run.partition("-")
        some = range(int(first), int(last or first) + 1)
        if len(numbers) + len(some) > most:
            raise ValueError("too many numbers")
        numbers.update(some)
    return sorted(numbers)
