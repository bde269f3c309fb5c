"""A job's files on its page: with numbers to their lines, and the lines that a compiler names."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from foundation import figures
from foundation.text import printable
from jobs.admin.job_page.highlighting import Highlighter
from jobs.compile_errors import CompileError
from jobs.files import language_of
from jobs.models import Job
from jobs.sources import SourceText, are_kept, sources_of

CHUNK_LINES = 200  # a browser lays out those alone that are seen
MAX_ANCHORS = 5000  # lines of a page that each can be linked to; beyond it those that are named
FEW_FILES = 3  # are all open
BESIDE = 2  # lines that an excerpt shows before and after the one that it is about
MAX_EXCERPT_LINE = 500  # characters

_OF_CUDA = (".cu", ".cuh", ".h", ".hh", ".hpp", ".inl")


class Chunk(NamedTuple):
    """Lines that stand together."""

    numbers: str
    code: SafeString


class ShownSource(NamedTuple):
    """A file."""

    name: str
    how: str
    size: str
    chunks: list[Chunk]
    is_open: bool
    is_of_windows: bool  # its lines end in CR LF


class Line(NamedTuple):
    """A line of an excerpt."""

    number: int
    code: SafeString
    is_meant: bool


class Excerpt(NamedTuple):
    """A few lines around the first error."""

    name: str
    anchor: str
    lines: list[Line]
    words: str


def anchor_of(name: str, line: int) -> str:
    """The id of a line on the page; the same in an address behind the `#`."""
    return f"{quote(name, safe='/')}-L{line}"


class Sources:
    """The files of one job, put into lines once."""

    def __init__(self, job: Job) -> None:
        highlighter = Highlighter()
        self._files = sources_of(job) if are_kept(job) else []
        self._lines = {
            file.name: highlighter.lines(_shown(file.text), _language(file.name, job))
            for file in self._files
        }

    def has(self, name: str, line: int) -> bool:
        """Whether there is such a line."""
        return 0 < line <= len(self._lines.get(name, ()))

    def excerpt(self, error: CompileError | None) -> Excerpt | None:
        """Around the line that the error names, if it is one of the job's."""
        if error is None or not self.has(error.name, error.line):
            return None
        lines = self._lines[error.name]
        first = max(1, error.line - BESIDE)
        shown = [
            Line(number, _short(lines[number - 1]), number == error.line)
            for number in range(first, min(len(lines), error.line + BESIDE) + 1)
        ]
        anchor = anchor_of(error.name, error.line)
        return Excerpt(error.name, anchor, shown, printable(error.words.encode()))

    def shown(self, named: Iterable[tuple[str, int]], open_name: str = "") -> list[ShownSource]:
        """All of them; `named`: the lines that are marked, of which the first of `open_name` is
        what its reader wants to see."""
        marked: dict[str, set[int]] = {}
        for name, line in named:
            marked.setdefault(name, set()).add(line)
        has_few_lines = sum(map(len, self._lines.values())) <= MAX_ANCHORS
        is_open = {self._files[0].name, open_name} if self._files else set()
        return [
            ShownSource(
                file.name,
                file.how,
                figures.size(len(file.text.encode("utf-8", "surrogatepass"))),
                _chunks(file.name, self._lines[file.name], marked.get(file.name, set()),
                        is_each_linked=has_few_lines),
                len(self._files) <= FEW_FILES or file.name in is_open,
                "\r\n" in file.text,
            )
            for file in self._files
        ]  # fmt: skip


def _shown(text: str) -> str:
    """The end of a last line begins no other one."""
    text = text.replace("\r\n", "\n").removesuffix("\n")
    return printable(text.encode("utf-8", "backslashreplace"))


def _language(name: str, job: Job) -> str:
    """ "text" for what is none of ours."""
    if name == job.filename:
        return job.language
    if name.lower().endswith(_OF_CUDA):
        return "cuda"
    known = language_of(name)  # "cuda" also for what is unknown
    return "text" if known == "cuda" else known


def _short(line: str) -> SafeString:
    """A long line is shown without colours: a mark could be cut."""
    if len(line) <= MAX_EXCERPT_LINE:
        return mark_safe(line)  # noqa: S308  (made by the highlighter)
    return format_html("{}", "(a very long line: see it in the source below)")


def _chunks(name: str, lines: list[str], marked: set[int], *, is_each_linked: bool) -> list[Chunk]:
    return [
        _chunk(name, lines, first, marked, is_each_linked=is_each_linked)
        for first in range(1, len(lines) + 1, CHUNK_LINES)
    ]


def _chunk(
    name: str, lines: list[str], first: int, marked: set[int], *, is_each_linked: bool
) -> Chunk:
    last = min(len(lines), first + CHUNK_LINES - 1)
    here = range(first, last + 1)
    numbers = "\n".join(map(str, here))
    if not is_each_linked and marked.isdisjoint(here):
        return Chunk(numbers, mark_safe("\n".join(lines[first - 1 : last])))  # noqa: S308
    code = []
    for number in here:
        line = lines[number - 1]
        if number in marked or is_each_linked:
            css = "line wrong-line" if number in marked else "line"
            line = f'<span class="{css}" id="{anchor_of(name, number)}">{line}\n</span>'
            code.append(line)
        else:
            code.append(line + "\n")
    return Chunk(numbers, mark_safe("".join(code)))  # noqa: S308  (by the highlighter; a quoted id)


def named_file(job: Job, name: str) -> SourceText | None:
    """The job's file of that name, if it is still kept."""
    files = sources_of(job) if are_kept(job) else []
    return next((file for file in files if file.name == name), None)
