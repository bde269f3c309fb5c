"""Logs on a job's page: whole, as text; what a compiler says leads to the lines it is about."""

from collections.abc import Iterator
from typing import NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from courses import limits
from foundation import figures
from foundation.text import printable
from jobs.admin.job_page.sources import Sources, anchor_of
from jobs.compile_errors import MAX_PLACES, Names, may_have_places, place_in

LOGS = {"compile": "Compiler's output", "execute": "Program's output"}
CHUNK = 8 * 1024  # characters that a browser lays out together
NOTE_BYTES = 64  # in a log that was shortened, of what is left out


class ShownLog(NamedTuple):
    """One log of an attempt."""

    name: str  # "compile" or "execute"
    title: str
    size: str
    chunks: list[SafeString]  # none for one that is not on this page
    is_empty: bool


def room_of_a_page() -> int:
    """How many bytes of logs a page shows: both of the latest attempt in any case."""
    return 2 * (limits.of_a_job()["log_bytes"] + NOTE_BYTES)


def shown_log(name: str, size: int, content: list[SafeString]) -> ShownLog:
    """A log with what is shown of it."""
    return ShownLog(name, LOGS[name], figures.size(size), content, size == 0)


def as_chunks(log: bytes) -> list[SafeString]:
    """A program's output, safe."""
    return [mark_safe(escape(part)) for part in _parts(printable(log))]  # noqa: S308


def _parts(text: str) -> Iterator[str]:
    """Whole lines, but for a very long one."""
    start = 0
    while start < len(text):
        stop = min(len(text), start + CHUNK)
        if stop < len(text):
            stop = text.rfind("\n", start, stop) + 1 or stop
        yield text[start:stop]
        start = stop


class CompilerLog:
    """A compiler's output, whose places are links to the lines on the page."""

    def __init__(self, log: bytes, names: Names, sources: Sources) -> None:
        self.errors: list[tuple[str, int]] = []  # the lines that errors name, as they come
        self.text = printable(log)
        self._names, self._sources, self._places = names, sources, 0
        self.chunks = [mark_safe(self._linked(part)) for part in _parts(self.text)]  # noqa: S308

    def _linked(self, part: str) -> str:
        if self._places >= MAX_PLACES or not may_have_places(part):
            return escape(part)
        return "\n".join(map(self._line, part.split("\n")))

    def _line(self, line: str) -> str:
        place = place_in(line, self._names) if self._places < MAX_PLACES else None
        if place is None or not self._sources.has(place.name, place.line):
            return escape(line)
        self._places += 1
        if place.is_error:
            self.errors.append((place.name, place.line))
        before, named = line[: place.start], line[place.start : place.stop]
        href = anchor_of(place.name, place.line)
        return f'{escape(before)}<a href="#{href}">{escape(named)}</a>{escape(line[place.stop :])}'
