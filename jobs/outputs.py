"""Output files: what may be kept, what a result lists, and how they are downloaded.

An executor sends each file before the result that lists it (docs/adr/0009). The list, names and
sizes, is in the attempt's `details`; so showing a job needs no query of files.
"""

import errno
import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError
from django.db.models import Count, Q, Sum
from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from courses import limits
from foundation.database import connections
from jobs import errors
from jobs.models import Attempt, Job, OutputFile, OutputPart

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 255
PART_BYTES = 256 * 1024  # of a file are in memory while it is sent to a slow client
PARTS_AT_ONCE = 8  # are written by one statement
LISTINGS = ("asm-ptx.txt", "asm-sass.txt", "asm.s")  # that a job may ask for (`asm`)
_DELETED_BYTES = 64 << 20  # in one transaction: a second or two, in which nobody else writes


def is_name(name: str) -> bool:
    """Whether a file may be called so: printable, and nothing that leads to another folder."""
    return (
        name.isprintable()
        and name not in ("", ".", "..")
        and not {"/", "\\"} & set(name)
        and len(name.encode()) <= MAX_NAME_BYTES
    )


def check_room(attempt: Attempt, name: str, size: int) -> None:
    """Raises FilesTooLarge if the attempt's files are as many as may be, one more of `size`.

    The compiler's listings count in bytes alone.
    """
    limit = limits.of_a_job()
    of_program = Count("pk", filter=~Q(name__in=LISTINGS))
    kept = attempt.files.aggregate(count=of_program, size=Sum("size", default=0))
    if kept["count"] >= limit["output_files"] and name not in LISTINGS:
        raise errors.FilesTooLarge(f"The queue keeps {limit['output_files']} files of a job.")
    if kept["size"] + size > limit["output_file_bytes"]:
        raise errors.FilesTooLarge(
            f"The queue keeps {limit['output_file_bytes']} bytes of files of a job."
        )


def parts_of(file: OutputFile, content: bytes) -> Iterator[OutputPart]:
    """The rows that hold the content."""
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        yield OutputPart(file=file, number=number, content=content[start : start + PART_BYTES])


def few_enough_to_delete(job_ids: list[int]) -> list[int]:
    """The first of these jobs, at least one, whose files are deleted in a moment."""
    kept = OutputFile.objects.filter(attempt__job__in=job_ids).order_by()
    sizes = dict(kept.values_list("attempt__job").annotate(Sum("size")))
    total, few = 0, []
    for job_id in job_ids:
        total += sizes.get(job_id, 0)
        if few and total > _DELETED_BYTES:
            break
        few.append(job_id)
    return few


def confirmed(attempt: Attempt, details: dict[str, Any]) -> dict[str, Any]:
    """The details of a result with the files that are really kept in its list of `files`.

    What is listed and not kept goes to `files_left_out`. No query for a result without files.
    """
    if not (listed := _names(details.get("files"))):
        return {name: value for name, value in details.items() if name != "files"}
    kept = list(attempt.files.filter(name__in=listed).order_by("name").values("name", "size"))
    lost = [name for name in listed if name not in {file["name"] for file in kept}]
    if not lost:
        return {**details, "files": kept}
    reported = details.get("files_left_out")
    left_out = [*reported] if isinstance(reported, list) else []
    left_out += ({"name": name, "reason": "the queue did not keep it"} for name in lost)
    return {**details, "files": kept, "files_left_out": left_out}


def _names(listed: Any) -> list[str]:
    """The names in a list of files as an executor sends it."""
    files = listed if isinstance(listed, list) else []
    names = [file.get("name") for file in files if isinstance(file, dict)]
    return [name for name in names if isinstance(name, str)]


def removed_from(job: Job) -> list[str]:
    """Names of files that the job's result lists, and that were removed since (jobs/quota.py)."""
    result = job.result
    files = result.details.get("files", []) if result else []
    return [file["name"] for file in files if "removed" in file]


def download(file: OutputFile) -> StreamingHttpResponse:
    """An answer with the file's bytes, which are for keeping and never for showing."""
    return StreamingHttpResponse(
        _contents(file),
        content_type="application/octet-stream",
        headers={
            "Content-Length": str(file.size),
            "Content-Disposition": content_disposition_header(True, file.name) or "attachment",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


def _contents(file: OutputFile) -> Iterator[bytes]:
    """A part at a time, however slow the client is."""
    for number in range(-(-file.size // PART_BYTES)):
        try:
            part = file.parts.values_list("content", flat=True).get(number=number)
            connections.release()
        except (DatabaseError, ObjectDoesNotExist) as error:
            # The answer has begun: all that is left is to break off, as the server knows it.
            log.warning("A download was broken off: %s", str(error).strip())
            raise ConnectionResetError(errno.ECONNRESET, "broken off") from error
        yield bytes(part)
