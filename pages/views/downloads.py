"""What a student takes along: logs, output files, sources. Never shown by a browser."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header

from foundation.problems import NotFound
from jobs import outputs
from jobs.api.v1.files import listed_file
from jobs.api.v1.users import own_job_of
from jobs.models import Attempt
from jobs.sources import sources_of
from pages.logs import LOGS
from pages.views.base import Page

# Whatever a browser makes of the bytes, no script of theirs runs.
_SANDBOX = {"Content-Security-Policy": "sandbox; default-src 'none'"}


class JobFile(Page):
    """`/jobs/ID/files/NAME`: an output file that the job's result lists."""

    def get(self, request: HttpRequest, job_id: int, name: str) -> HttpResponseBase:
        response = outputs.download(listed_file(own_job_of(self.user, job_id), name))
        for header, value in _SANDBOX.items():
            response[header] = value
        return response


class Log(Page):
    """`/jobs/ID/attempts/NUMBER/compile-log.txt` and `execute-log.txt`, byte for byte."""

    def get(self, request: HttpRequest, job_id: int, number: int, log: str) -> HttpResponse:
        job = own_job_of(self.user, job_id)
        attempt = Attempt.objects.filter(job=job, number=min(number, 2**15 - 1)).first()
        if attempt is None or log not in LOGS:
            raise NotFound("There is no such log.")
        return _attachment(bytes(getattr(attempt, f"{log}_log")), f"{log}-log-{job_id}.txt")


class SourceFile(Page):
    """`/jobs/ID/source/NAME`: a file as it was submitted."""

    def get(self, request: HttpRequest, job_id: int, name: str) -> HttpResponse:
        texts = {file.name: file.text for file in sources_of(own_job_of(self.user, job_id))}
        if name not in texts:
            raise NotFound("There is no such file.")
        return _attachment(texts[name].encode(), name.rpartition("/")[2])


def _attachment(content: bytes, name: str) -> HttpResponse:
    disposition = content_disposition_header(True, name) or "attachment"
    return HttpResponse(
        content,
        content_type="application/octet-stream",
        headers={"Content-Disposition": disposition, **_SANDBOX},
    )
