"""What the queue takes of all files of a submission together."""

from __future__ import annotations

from handouts.client.job_file_names import clash
from handouts.client.words import in_size
from handouts.submit.gather import Gathering
from handouts.submit.source_file import MAX_SOURCE_BYTES
from handouts.submit.stop import WRONG_USAGE, Stop
from handouts.submit.wishes import refusal_at

MAX_FILES = 256


def check_together(gathering: Gathering) -> None:
    """Raises Stop for more than the queue takes, and for two names that are one on some system."""
    count, main = len(gathering.texts), gathering.main
    if count > MAX_FILES:
        raise Stop(
            WRONG_USAGE, f"{main} needs {count} files; the queue takes {MAX_FILES} together."
        )
    sizes = {name: utf8_size(text) for name, text in gathering.texts.items()}
    if sum(sizes.values()) > MAX_SOURCE_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise Stop(
            WRONG_USAGE,
            f"{main} and the files that it needs have {sum(sizes.values())} bytes; the queue takes "
            f"{MAX_SOURCE_BYTES} (1 MiB) together. The largest of {count}: {largest} "
            f"({in_size(sizes[largest])}).",
        )
    pair = clash(list(gathering.texts))
    if pair:
        raise refusal_at(
            gathering.places[pair[1]],
            f"{pair[0]} and {pair[1]} would be one file on some systems; rename one.",
        )


def utf8_size(text: str) -> int:
    """How many bytes of UTF-8 the text has."""
    return len(text.encode("utf-8"))
