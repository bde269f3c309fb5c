"""The API for users: submit, look, wait, cancel. Thin: read the request, call an operation."""

from typing import Any

from django.urls import reverse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import UserView
from accounts.models import User
from foundation.api.description import (
    WITH_BODY,
    answer,
    extend_schema,
    header,
    query,
    request_header,
)
from foundation.api.inputs import validated
from foundation.api.views import LARGE_BYTES, LargeAnswer
from foundation.client_script import VERSION_HEADER, client_script
from foundation.database.statements import Parameter, Select
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import cancelling, outlook, placing, quota, submitting
from jobs.api.v1 import answers
from jobs.api.v1.inputs import SubmissionIn
from jobs.api.v1.requests import (
    MAX_KEY_LENGTH,
    Pages,
    differs,
    idempotency_key,
    is_set,
    seconds_to_wait,
    with_wait_applied,
)
from jobs.models import Job

KEY = request_header(
    "Idempotency-Key",
    "The same key again is the same request, and does nothing more.",
    maxLength=MAX_KEY_LENGTH,
)
PREFER = request_header(
    "Prefer", "`wait=N`: hold the request for up to N seconds (RFC 7240).", examples=["wait=25"]
)
APPLIED = "Where `Prefer` was sent: `wait=N`, as it was applied."
_MAX_JSON = 6  # bytes of a JSON string for one byte of a log: \u0000
_ETAG = "Differs whenever the job looks different."

_OWN_JOB = Select(
    Job.objects.filter(pk=Parameter("job"), user=Parameter("user")).without_texts().order_by()
)


def own_job(request: Request, job_id: int) -> Job:
    """The user's job; somebody else's is not found, like one that never was. Raises NotFound."""
    return own_job_of(request.user, job_id)


def own_job_of(user: User, job_id: int) -> Job:
    """The same, outside of a request."""
    job = _OWN_JOB.first(job=job_id, user=user.pk)
    if job is None:
        raise NotFound(f"You have no job {job_id}.")
    return job


class Jobs(UserView):
    """`/jobs`: submit, and list one's own."""

    @extend_schema(
        operation_id="submit",
        summary="Submit a program.",
        request=SubmissionIn,
        parameters=[
            query(
                "override_pending",
                "1: the user's queued jobs make way.",
                type="string",
                enum=["1", "0", "true", "false"],
            ),
            KEY,
            header("ETag", _ETAG, 201),
            header("Location", "The job's address.", 201),
            header(VERSION_HEADER, "Of the submit.py that `GET /submit.py` gives.", 201),
        ],
        responses={201: answer("The job.", answers.JobAnswer)},
        problems=WITH_BODY,
        own_problems={
            409: "`pending-job`: `job` is its id",
            413: "`body-too-large`, `source-too-large`, `quota-exceeded`",
            422: "`idempotency-key-reused`, `flag-refused`, `unknown-platform`",
        },
    )
    def post(self, request: Request) -> Response:
        data = validated(SubmissionIn, request)
        job, _ = submitting.submit(
            request.user,
            submitting.Submission(**data),
            idempotency_key(request),
            replace=is_set(request, "override_pending"),
        )
        quota.settle()
        headers = {"Location": reverse("job", args=[job.pk])}
        headers[VERSION_HEADER] = client_script().version
        return _response(_Look(job), status.HTTP_201_CREATED, **headers)

    @extend_schema(
        operation_id="list_jobs",
        summary="One's own jobs, newest first.",
        parameters=[
            query("limit", "Jobs in a page, 200 at most.", type="integer", minimum=1, default=50),
            query("offset", "Jobs to skip.", type="integer", minimum=0, default=0),
        ],
        responses={200: answer("A page.", answers.JobPageAnswer)},
        problems=(400,),
    )
    def get(self, request: Request) -> Response:
        pages = Pages()
        jobs = Job.objects.filter(user=request.user).without_texts().order_by("-id")
        page = pages.paginate_queryset(jobs, request, view=self)
        return pages.get_paginated_response(answers.listed(page))


class OneJob(UserView):
    """`/jobs/ID`: look, or with `Prefer: wait=N` and `If-None-Match` wait for a change."""

    @extend_schema(
        operation_id="get_job",
        summary="One job; with `Prefer` and `If-None-Match`, as soon as it differs.",
        parameters=[
            PREFER,
            request_header(
                "If-None-Match",
                "ETags that are known: 304 if the job is still like that (RFC 9110).",
            ),
            header("ETag", _ETAG, 200, 304),
            header("Preference-Applied", APPLIED, 200, 304),
        ],
        responses={200: answer("The job.", answers.JobAnswer), 304: answer("It is as it was.")},
        problems=(404,),
    )
    def get(self, request: Request, job_id: int) -> Response:
        known = request.headers.get("If-None-Match")
        seconds = seconds_to_wait(request) if known is not None else 0
        etag = ""

        def changed() -> Response | None:
            nonlocal etag
            look = _Look(own_job(request, job_id))
            etag = look.etag
            return _response(look) if differs(etag, known) else None

        response = waiting.until(changed, seconds, request._request, job_id, request.user.pk)
        if response is None:
            response = Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        return with_wait_applied(request, response, seconds)


class CancelJob(UserView):
    """`/jobs/ID/cancel`."""

    @extend_schema(
        operation_id="cancel_job",
        summary="Cancel a queued job, or have a running one stopped.",
        parameters=[header("ETag", _ETAG, 200)],
        responses={200: answer("The job.", answers.JobAnswer)},
        problems=(404,),
        own_problems={409: "`already-over`"},
    )
    def post(self, request: Request, job_id: int) -> Response:
        job = own_job(request, job_id)
        return _response(_Look(cancelling.cancel(job.pk, request.user.username)))


class _Look:
    """A job as it looks to its owner."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.position = job.queue_position
        self.expected = outlook.of(job, self.position)

    @property
    def etag(self) -> str:
        """Differs whenever the job looks different; what is expected of it is left out."""
        etag = f"{self.job.version}-{self.position or 0}"
        # What a job in a phase waits for is told by its version.
        waits = f"-{placing.NOBODY}" if self.expected.waiting_for == placing.NOBODY else ""
        return f'"{etag}{waits}"'


def _response(look: _Look, code: int = status.HTTP_200_OK, **headers: Any) -> Response:
    headers["ETag"] = look.etag
    document = answers.whole(look.job, look.position, look.expected)
    logs = answers.logs_size(document)
    if logs <= LARGE_BYTES:
        return Response(document, code, headers=headers)
    response = LargeAnswer(document, code, headers=headers)
    response.maximum = _MAX_JSON * logs + LARGE_BYTES
    return response
