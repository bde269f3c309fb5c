"""The API of output files: an executor sends them, their owner fetches them. Bytes, not JSON."""

from django.http import StreamingHttpResponse
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import ExecutorView, UserView
from courses import limits
from foundation.api.description import (
    BYTES,
    BYTES_TYPE,
    LEASE_LOST,
    answer,
    extend_schema,
    request_header,
)
from foundation.parsers import read_bytes, reserved_for_file
from foundation.problems import NotFound
from foundation.serving.greenlets import in_a_thread
from jobs import errors, outputs, quota, reporting
from jobs.api.v1.answers import FileAnswer
from jobs.api.v1.users import own_job
from jobs.models import Job, OutputFile
from jobs.states import Ending


class AttemptFile(ExecutorView):
    """`/attempts/ID/files/NAME`: a file of the program, sent before its attempt's result."""

    @extend_schema(
        operation_id="send_file",
        summary="Send an output file, before the result. Sent again, it takes the place of the "
        "one before.",
        request={BYTES_TYPE: BYTES},
        parameters=[request_header("Telerun-Lease", "The attempt's lease token.", required=True)],
        responses={200: answer("It is kept.", FileAnswer)},
        problems=(400, 404, 413),
        own_problems=LEASE_LOST,
    )
    def put(self, request: Request, attempt_id: int, name: str) -> Response:
        if not outputs.is_name(name):
            raise ParseError("This is no name for an output file.")
        lease_token = request.headers.get("Telerun-Lease", "")
        with reserved_for_file(request):  # until it is kept
            content = read_bytes(request, limits.of_a_job()["output_file_bytes"])
            in_a_thread(reporting.keep_file, request.user, attempt_id, lease_token, name, content)
        quota.settle()
        document: FileAnswer = {"name": name, "size": len(content)}
        return Response(document)


class JobFile(UserView):
    """`/jobs/ID/files/NAME`: a file that a job's result lists."""

    @extend_schema(
        operation_id="get_file",
        summary="An output file that the job's result lists.",
        responses={(200, BYTES_TYPE): answer("Its bytes.", BYTES)},
        problems=(404,),
        own_problems={410: "`file-removed`"},
    )
    def get(self, request: Request, job_id: int, name: str) -> StreamingHttpResponse:
        return outputs.download(listed_file(own_job(request, job_id), name))


def listed_file(job: Job, name: str) -> OutputFile:
    """The output file of that name that the job's result lists. Raises NotFound, FileRemoved."""
    listed = OutputFile.objects.filter(attempt__job=job, attempt__ending=Ending.FINISHED)
    file = listed.filter(name=name).first() if outputs.is_name(name) else None
    if file is None:
        if name in outputs.removed_from(job):
            raise errors.FileRemoved(f"{name} was {quota.why()}.")
        raise NotFound(f"Job {job.pk} has no such output file.")
    return file
