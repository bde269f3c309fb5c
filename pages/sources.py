"""A job's files as they were submitted."""

from typing import NamedTuple

from jobs.models import Job

MAX_LINES = 5000  # of a file on a page; the whole of it can be downloaded
MAX_LINE = 2000  # characters


class SourceText(NamedTuple):
    """A file of a job."""

    name: str
    text: str

    def lines(self) -> list[str]:
        """As far as a page shows them."""
        lines = self.text.split("\n", MAX_LINES)[:MAX_LINES]
        if len(lines) > 1 and not lines[-1]:
            lines.pop()  # what a last newline ends is no line
        return [line[:MAX_LINE] for line in lines]

    def is_cut(self) -> bool:
        """Whether there is more."""
        lines = self.text.split("\n", MAX_LINES)
        return len(lines) > MAX_LINES or any(len(line) > MAX_LINE for line in lines)


def sources_of(job: Job) -> list[SourceText]:
    """The main one first, then what is compiled with it, then what stands beside it."""
    texts = {job.filename: job.source, **job.sources, **job.includes}
    return [SourceText(name, text) for name, text in texts.items()]
