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
        return [line[:MAX_LINE] for line in self._lines()[:MAX_LINES]]

    def is_cut(self) -> bool:
        """Whether there is more."""
        lines = self._lines()
        return len(lines) > MAX_LINES or any(len(line) > MAX_LINE for line in lines)

    def _lines(self) -> list[str]:
        """All of them; what a last newline ends begins no other."""
        return self.text.removesuffix("\n").split("\n")


def sources_of(job: Job) -> list[SourceText]:
    """The main one first, then what is compiled with it, then what stands beside it."""
    texts = {job.filename: job.source, **job.sources, **job.includes}
    return [SourceText(name, text) for name, text in texts.items()]
