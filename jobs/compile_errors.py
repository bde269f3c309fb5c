"""Errors in a compiler's log: nvcc's and g++'s with their places, ptxas's and the linker's without.

A log is what students' programs make compilers print: each line is looked at once, and of a very
long one the beginning alone.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINE = 2000  # characters of a line that are looked at
MAX_PLACES = 300  # of a log that are found

# "prog.cu(41): error: …", "a b.cu(41): error #20-D: …", "prog.cu:41:5: fatal error: …". The first
# place in a line counts; a name may hold all but a line's end.
_PLACE = r"(?P<name>.+?)(?:\((?P<nvcc>\d{1,9})\)|:(?P<gcc>\d{1,9})(?::\d{1,9})?): "
_KIND = (
    r"(?P<kind>(?:(?:catastrophic |internal |fatal )?[Ee]rror|warning|note|remark)(?: #[\w-]+)?)"
)
_PLACED = re.compile(rf"{_PLACE}{_KIND}: (?P<words>.*)")
# Python's: `  File "prog.py", line 3`, and the error some lines later.
_PYTHON_PLACE = re.compile(r' {0,8}File "(?P<name>[^"]+)", line (?P<line>\d{1,9})')
_PYTHON_ERROR = re.compile(r"(?P<words>(?:SyntaxError|IndentationError|TabError): .*)")
_UNPLACED = (
    re.compile(
        r"(?:ptxas|nvlink|nvcc|cudafe\+\+) (?:[^;]*; )?(?:error|fatal) {0,8}: "
        r"(?!Ptx assembly aborted)(?P<words>.*)"
    ),
    re.compile(
        r".*?(?P<words>undefined reference to .*|multiple definition of [^;]*|cannot find -l.*)"
    ),
    re.compile(r"(?:cc1\w*|[\w-]*\+\+|gcc|cc|as|clang): (?:fatal )?error: (?P<words>.*)"),
)
_COUNTED = re.compile(r"^(\d{1,6}) errors? detected in the compilation of ", re.MULTILINE)
# What a line has that an error, or a place, may be in.
_OF_ERRORS = re.compile(
    r'rror|fatal|undefined reference|multiple definition|cannot find|File "', re.ASCII
)
_OF_PLACES = re.compile(r'rror|warning|note|remark|File "')


class CompileError(NamedTuple):
    """What a compiler complained of."""

    name: str  # of the file, as the job has it, or as the compiler says; "" where it says none
    line: int  # from 1; 0 for none
    words: str

    @property
    def place(self) -> str:
        """Such as "prog.cu line 41"; "" for none."""
        return f"{self.name} line {self.line}" if self.line else ""


class Place(NamedTuple):
    """Where a line of a log says that it is about a line of the job's files."""

    start: int  # characters of the line that name the place
    stop: int
    name: str
    line: int
    is_error: bool


class Names:
    """The job's files, by what the compiler calls them: paths seen from the main file's folder."""

    def __init__(self, main: str, names: Iterable[str]) -> None:
        self._folder = posixpath.dirname(main)
        self._names = {*names, main}

    def of(self, path: str) -> str | None:
        """The job's name of the file; None for one that is not the job's."""
        path = posixpath.normpath(path)
        if path.startswith("/"):  # the host's own, whatever it is called
            return None
        for name in (posixpath.normpath(posixpath.join(self._folder, path)), path):
            if name in self._names:
                return name
        fit = [name for name in self._names if name.endswith(f"/{path}")]  # from an include folder
        return fit[0] if len(fit) == 1 else None


def errors_in(log: str, names: Names) -> Iterator[CompileError]:
    """All of them, each as often as it is printed, as they come."""
    python: tuple[str, int] | None = None
    for line in _lines_with(_OF_ERRORS, log):
        if place := _PYTHON_PLACE.match(line):
            python = place["name"], int(place["line"])
        elif python and (error := _PYTHON_ERROR.match(line)):
            name, number = python
            yield CompileError(names.of(name) or name, number, error["words"].strip())
        elif error := _error_in(line, names):
            yield error


def _lines_with(pattern: re.Pattern[str], log: str) -> Iterator[str]:
    """The beginnings of these lines."""
    at = 0
    while found := pattern.search(log, at):
        start = log.rfind("\n", at, found.start()) + 1 or at
        end = log.find("\n", found.end())
        end = len(log) if end < 0 else end
        yield log[start : min(end, start + MAX_LINE)]
        at = end


def _error_in(line: str, names: Names) -> CompileError | None:
    if placed := _PLACED.match(line):
        if "rror" not in placed["kind"]:
            return None
        name = names.of(placed["name"]) or placed["name"].removeprefix("./")
        return CompileError(name, _line_of(placed), placed["words"].strip())
    for pattern in _UNPLACED:
        if unplaced := pattern.match(line):
            return CompileError("", 0, unplaced["words"].strip())
    return None


def first_error(log: str, names: Names) -> CompileError | None:
    """The one to begin with."""
    return next(errors_in(log, names), None)


def count_of(log: str, names: Names) -> int:
    """How many errors there are, at least. Two of the same words in one line are two to the
    compiler, which has the last word."""
    return max(len(set(errors_in(log, names))), sum(map(int, _COUNTED.findall(log))))


def place_in(line: str, names: Names) -> Place | None:
    """The place in the job's files that a line of a log names, if it does."""
    if placed := _PLACED.match(line[:MAX_LINE]):
        if (name := names.of(placed["name"])) is not None:
            is_error = "rror" in placed["kind"]
            stop = placed.start("kind") - 2
            return Place(0, stop, name, _line_of(placed), is_error)
    elif (placed := _PYTHON_PLACE.match(line[:MAX_LINE])) and (name := names.of(placed["name"])):
        start = placed.start() + placed[0].index("File")
        return Place(start, placed.end(), name, int(placed["line"]), is_error=True)
    return None


def may_have_places(text: str) -> bool:
    """Whether it is worth a look at its lines."""
    return _OF_PLACES.search(text) is not None


def _line_of(placed: re.Match[str]) -> int:
    return int(placed["nvcc"] or placed["gcc"])
