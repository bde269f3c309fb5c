"""The API of output files: an executor sends them, their owner fetches them. Bytes, not JSON."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import StreamingHttpResponse
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import errors, files, operations, waiting
from jobs.models import OutputFile
from jobs.states import Ending
from jobs.views import ExecutorView, UserView
from telerun_site.parsers import read_bytes

_UPLOADS = 2  # at once in a process: each has a whole file in memory
_PATIENCE_SECONDS = 6.0
_uploads = threading.BoundedSemaphore(_UPLOADS)


class AttemptFile(ExecutorView):
    """`/attempts/ID/files/NAME`: a file of the program, sent before its attempt's result."""

    def put(self, request: Request, attempt_id: int, name: str) -> Response:
        if not files.is_name(name):
            raise ParseError("This is no name for an output file.")
        lease_token = request.headers.get("Telerun-Lease", "")
        with _one_of_few():
            content = read_bytes(request, settings.TELERUN_LIMITS["output_file_bytes"])
            operations.keep_file(request.user, attempt_id, lease_token, name, content)
        return Response({"name": name, "size": len(content)})


@contextmanager
def _one_of_few() -> Iterator[None]:
    """Around what has a whole file in memory. Raises Busy."""
    taken = False
    try:
        with waiting.asleep():
            taken = _uploads.acquire(timeout=_PATIENCE_SECONDS)
        if not taken:
            raise waiting.Busy("too many files arrive at once")
        yield
    finally:
        if taken:
            _uploads.release()


class JobFile(UserView):
    """`/jobs/ID/files/NAME`: a file that a job's result lists."""

    def get(self, request: Request, job_id: int, name: str) -> StreamingHttpResponse:
        job = self.own_job(request, job_id)
        shown = OutputFile.objects.filter(attempt__job=job, attempt__ending=Ending.FINISHED)
        file = shown.filter(name=name).first() if files.is_name(name) else None
        if file is None:
            raise errors.NotFound(f"Job {job_id} has no such output file.")
        return files.download(file)
