"""A job's files as they were submitted."""

from typing import NamedTuple

from jobs.errors import NoLongerKept
from jobs.models import Job

MAX_LINES = 5000  # of all files together on a page; the whole of each can be downloaded
MAX_LINE = 2000  # characters


class SourceText(NamedTuple):
    """A file of a job."""

    name: str
    text: str


class ShownSource(NamedTuple):
    """As much of a file as a page shows."""

    name: str
    lines: list[str]
    is_cut: bool


def sources_of(job: Job) -> list[SourceText]:
    """The main one first, then what is compiled with it, then what stands beside it.

    Raises NoLongerKept.
    """
    if job.texts_gone:
        raise NoLongerKept(f"The files and logs of job {job.pk} are no longer kept.")
    texts = {job.filename: job.source, **job.sources, **job.includes}
    return [SourceText(name, text) for name, text in texts.items()]


def shown_sources(job: Job) -> list[ShownSource]:
    """The same as a page shows it. A line costs the queue and the browser some work, and 256 files
    may have a million of them: what is shown is counted over all."""
    shown, room = [], MAX_LINES
    for file in sources_of(job):
        # What a last newline ends begins no other line; one beyond the room says that it is cut.
        lines = file.text.removesuffix("\n").split("\n", room)
        is_cut = len(lines) > room or any(len(line) > MAX_LINE for line in lines)
        shown.append(ShownSource(file.name, [line[:MAX_LINE] for line in lines[:room]], is_cut))
        room -= len(shown[-1].lines)
    return shown
