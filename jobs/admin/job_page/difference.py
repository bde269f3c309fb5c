"""What is new in a job's files since its owner's last submission of the same name.

A comparison may take for ever on texts that are made for it: it has a time, after which a file is
only said to differ.
"""

import difflib
import time
from typing import NamedTuple

from foundation.text import printable
from jobs.models import Job
from jobs.sources import are_kept, sources_of

SECONDS = 0.5  # of a core, for all files
MAX_LINES = 10_000  # of a file that is compared, without what both begin and end with
CONTEXT = 3
MAX_SHOWN = 5000  # lines of a page


class Line(NamedTuple):
    """A line of the difference."""

    kind: str  # "new", "gone", "same", or "hunk": where it goes on
    sign: str
    text: str


class Difference(NamedTuple):
    """How a file differs."""

    name: str
    words: str  # "is new", "is gone", "is the same", "is too different to be shown", or ""
    lines: list[Line]


class _TooLong(Exception):
    """The time is over."""


class _Bounded(difflib.SequenceMatcher):
    """Stops between two steps, each of which is short for this many lines."""

    until = 0.0

    def find_longest_match(self, *args: int, **kwargs: int) -> difflib.Match:
        if time.thread_time() > self.until:
            raise _TooLong
        return super().find_longest_match(*args, **kwargs)


def number_before(job: Job) -> int | None:
    """The owner's last submission of the same file name before this one."""
    before = Job.objects.filter(user=job.user_id, filename=job.filename, pk__lt=job.pk)
    return before.order_by("-pk").values_list("pk", flat=True).first()


def job_before(job: Job) -> Job | None:
    """The same, with its files."""
    return Job.objects.filter(pk=number_before(job)).first()


def between(old: Job, new: Job) -> list[Difference]:
    """All files of both, those that are the same last; none if those of one are no longer kept."""
    if not (are_kept(old) and are_kept(new)):
        return []
    until, room = time.thread_time() + SECONDS, MAX_SHOWN
    before = {file.name: file.text for file in sources_of(old)}
    after = {file.name: file.text for file in sources_of(new)}
    found = []
    for name in [*after, *(name for name in before if name not in after)]:
        difference = _of_file(name, before.get(name), after.get(name), until)
        if len(difference.lines) > room:
            words = "differs; the page has no room for more"
            difference = Difference(name, words, difference.lines[:room])
        room -= len(difference.lines)
        found.append(difference)
    return sorted(found, key=lambda difference: difference.words == "is the same")


def _of_file(name: str, old: str | None, new: str | None, until: float) -> Difference:
    if old == new:
        return Difference(name, "is the same", [])
    if old is None or new is None:
        return Difference(name, "is new" if old is None else "is gone", [])
    try:
        return Difference(name, "", _lines(_split(old), _split(new), until))
    except _TooLong:
        return Difference(name, "is too different to be shown", [])


def _split(text: str) -> list[str]:
    return printable(text.encode("utf-8", "backslashreplace")).split("\n")


def _lines(old: list[str], new: list[str], until: float) -> list[Line]:
    """As `diff -u` has them. Raises _TooLong."""
    start = _same_at_start(old, new)
    end = _same_at_start(old[start:][::-1], new[start:][::-1])
    # What both begin and end with is compared no further, but for the context.
    first = max(0, start - CONTEXT)
    beyond = max(0, end - CONTEXT)
    a, b = old[first : len(old) - beyond], new[first : len(new) - beyond]
    if max(len(a), len(b)) > MAX_LINES or time.thread_time() > until:
        raise _TooLong
    matcher = _Bounded(None, a, b)
    matcher.until = until
    found = []
    for group in matcher.get_grouped_opcodes(CONTEXT):
        at, to = group[0][1] + first + 1, group[0][3] + first + 1
        found.append(Line("hunk", "@@", f"line {to}, which was line {at}"))
        for kind, a1, a2, b1, b2 in group:
            if kind == "equal":
                found += [Line("same", " ", line) for line in a[a1:a2]]
                continue
            found += [Line("gone", "-", line) for line in a[a1:a2]]
            found += [Line("new", "+", line) for line in b[b1:b2]]
    return found


def _same_at_start(old: list[str], new: list[str]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))
