"""What staff take along of a job: its files and logs, byte for byte. No browser shows them."""

from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header

from jobs import outputs
from jobs.admin.job_page.logs import LOGS
from jobs.models import Attempt, Job, OutputFile

# Whatever a browser makes of the bytes, no script of theirs runs.
HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
}
_MOST_ATTEMPTS = 2**15 - 1


def text(content: bytes, name: str) -> HttpResponse:
    """A text under the last part of its name."""
    disposition = content_disposition_header(True, name.rpartition("/")[2] or "file")
    return HttpResponse(
        content,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": disposition or "attachment", **HEADERS},
    )


def log(job: Job, number: int, name: str) -> HttpResponse:
    """A log of an attempt that has ended. Raises Http404."""
    attempts = Attempt.objects.filter(job=job, number=min(number, _MOST_ATTEMPTS))
    if name not in LOGS:
        raise Http404
    content = attempts.values_list(f"{name}_log", flat=True).first()
    if content is None:
        raise Http404
    return text(bytes(content), f"job-{job.pk}-attempt-{number}-{name}-log.txt")


def output_file(job: Job, number: int, name: str) -> HttpResponseBase:
    """A file that an attempt's program left. Raises Http404."""
    attempt = {"attempt__job": job, "attempt__number": min(number, _MOST_ATTEMPTS)}
    file = OutputFile.objects.filter(**attempt, name=name).exclude(attempt__ending="").first()
    if file is None:
        raise Http404
    response = outputs.download(file)
    response["Content-Security-Policy"] = HEADERS["Content-Security-Policy"]
    return response
