"""A job's files as they were submitted."""

from typing import NamedTuple

from jobs.errors import NoLongerKept
from jobs.models import Job


class SourceText(NamedTuple):
    """A file of a job."""

    name: str
    text: str
    how: str = ""  # what it is beside the main one


def are_kept(job: Job) -> bool:
    """Whether its files are still there."""
    return not job.texts_gone


def sources_of(job: Job) -> list[SourceText]:
    """The main one first, then what is compiled with it, then what stands beside it.

    Raises NoLongerKept.
    """
    if not are_kept(job):
        raise NoLongerKept(f"The files and logs of job {job.pk} are no longer kept.")
    return [
        SourceText(job.filename, job.source),
        *(SourceText(name, text, "compiled with it") for name, text in job.sources.items()),
        *(SourceText(name, text, "placed beside it") for name, text in job.includes.items()),
    ]
