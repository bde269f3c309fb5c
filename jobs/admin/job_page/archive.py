"""All of a job in one zip: its sources, the logs of each attempt, what its program left.

It is made while it is sent, a part at a time: neither memory nor disk ever holds all of it. The
names in it are safe to unpack anywhere, whatever the job's files are called.
"""

import errno
import io
import logging
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.utils import timezone

from jobs.admin.job_page.downloads import HEADERS
from jobs.admin.job_page.logs import LOGS
from jobs.models import Attempt, Job, OutputFile, OutputPart
from jobs.sources import are_kept, sources_of

log = logging.getLogger(__name__)

_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"|?*\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
)
_OF_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_YEARS = (1980, 2107)  # that a zip can name


def download(job: Job) -> StreamingHttpResponse:
    """The answer."""
    return StreamingHttpResponse(
        _sent(job),
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="job-{job.pk}.zip"', **HEADERS},
    )


def _sent(job: Job) -> Iterator[bytes]:
    """The parts in which something is: an empty one would end the answer."""
    try:
        yield from filter(None, zipped(job))
    except DatabaseError as error:
        # The answer has begun: all that is left is to break off, as the server knows it.
        log.warning("A download was broken off: %s", str(error).strip())
        raise ConnectionResetError(errno.ECONNRESET, "broken off") from error


def zipped(job: Job) -> Iterator[bytes]:
    """The zip's bytes. Each part asks the database for what it needs, and gives it back."""
    sink, folder, names = _Sink(), f"job-{job.pk}", SafeNames()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, at, parts in _files(job):
            info = zipfile.ZipInfo(f"{folder}/{names.safe(name)}", _zip_time(at))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What is written to it is taken from it; it cannot go back."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        written, self._written = b"".join(self._written), []
        return written


class SafeNames:
    """Names that lead nowhere else and of which no two are the same, on any system."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def safe(self, name: str) -> str:
        """A name like the given one."""
        parts = [_safe_part(part) for part in re.split(r"[/\\]", name)]
        wanted = "/".join(part for part in parts if part) or "file"
        safe, number = wanted, 2
        while safe.casefold() in self._taken:
            safe, number = f"{wanted}-{number}", number + 1
        self._taken.add(safe.casefold())
        return safe


def _safe_part(part: str) -> str:
    part = _UNSAFE.sub("_", part).rstrip(". ")
    if set(part) <= {"."}:
        return ""
    return f"_{part}" if _OF_WINDOWS.match(part) else part


def _zip_time(at: datetime) -> tuple[int, int, int, int, int, int]:
    local = timezone.localtime(at)
    year = min(max(local.year, _YEARS[0]), _YEARS[1])
    return (year, local.month, local.day, local.hour, local.minute, local.second)


def _files(job: Job) -> Iterator[tuple[str, datetime, Iterable[bytes]]]:
    for source in sources_of(job) if are_kept(job) else []:
        content = source.text.encode("utf-8", "surrogatepass")
        yield f"source/{source.name}", job.submitted_at, [content]
    attempts = Attempt.objects.filter(job=job).order_by("number")
    for key, number, started_at in list(attempts.values_list("pk", "number", "started_at")):
        for name in LOGS:
            column = Attempt.objects.filter(pk=key).values_list(f"{name}_log", flat=True)
            if content := column.first():
                yield f"attempt-{number}/{name}-log.txt", started_at, [bytes(content)]
        for file in list(OutputFile.objects.filter(attempt=key).order_by("name")):
            yield f"attempt-{number}/out/{file.name}", started_at, _contents(file)


def _contents(file: OutputFile) -> Iterator[bytes]:
    """A part at a time."""
    numbers = OutputPart.objects.filter(file=file).order_by("number")
    for number in list(numbers.values_list("number", flat=True)):
        part = OutputPart.objects.filter(file=file, number=number)
        if content := part.values_list("content", flat=True).first():
            yield bytes(content)
