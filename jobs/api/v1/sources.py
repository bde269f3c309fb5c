"""`/jobs/ID/source`: what a user submitted, to see or to compare it."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import UserView
from foundation.api.description import answer, extend_schema
from foundation.api.views import LARGE_BYTES, LargeAnswer
from foundation.problems import NotFound
from jobs.api.v1 import answers
from jobs.errors import NoLongerKept
from jobs.models import Job

_MAX_JSON = 6  # bytes of a JSON string for one byte of a text: \u0000


class JobSource(UserView):
    """`/jobs/ID/source`."""

    @extend_schema(
        operation_id="get_source",
        summary="The texts of a job's files, as they were submitted.",
        responses={200: answer("Its files.", answers.SourceAnswer)},
        problems=(404,),
        own_problems={410: "`no-longer-kept`"},
    )
    def get(self, request: Request, job_id: int) -> Response:
        job = Job.objects.filter(pk=job_id, user=request.user).order_by().first()
        if job is None:
            raise NotFound(f"You have no job {job_id}.")
        if job.texts_gone:
            raise NoLongerKept
        document = answers.source(job)
        texts = [job.source, *job.sources.values(), *job.includes.values()]
        size = _MAX_JSON * sum(len(text.encode()) for text in texts)
        if size <= LARGE_BYTES:
            return Response(document)
        response = LargeAnswer(document)
        response.maximum = size + LARGE_BYTES
        return response
