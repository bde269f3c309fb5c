"""The API v1. Thin: read the request, call an operation, show the job."""

import functools
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.permissions import IsExecutor, IsUser
from jobs import documents, errors, operations, waiting
from jobs.models import Job
from jobs.queries import Pages, differs, is_set
from jobs.serializers import (
    HeartbeatIn,
    ReleaseIn,
    ResultIn,
    SubmissionIn,
    storable,
)
from telerun_site.statements import Parameter, Select

MAX_KEY_LENGTH = 255

_OWN_JOB = Select(
    Job.objects.filter(pk=Parameter("job"), user=Parameter("user")).defer("source").order_by()
)


# --- For everyone -----------------------------------------------------------------------


class QueueView(APIView):
    """Any address of the API."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with waiting.at_work():
                response = super().dispatch(request, *args, **kwargs)
            if isinstance(response, Response):
                response.add_post_render_callback(lambda told: told.renderer_context.clear())
            return response
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Undoes the circles of view, request and answer, which both frameworks make.

        Else what a body became, twenty times its length for some, would stay until Python next
        looks through all its objects for circles, which it does seldom.
        """
        if isinstance(self.request, Request):
            self.request.parser_context.clear()
        vars(self).clear()


# --- For users ---------------------------------------------------------------------------


class UserView(QueueView):
    """An address that takes a user's token."""

    permission_classes = (IsUser,)

    def own_job(self, request: Request, job_id: int) -> Job:
        """The user's job; somebody else's is not found, like one that never was."""
        job = _OWN_JOB.first(job=job_id, user=request.user.pk)
        if job is None:
            raise errors.NotFound(f"You have no job {job_id}.")
        return job


class Jobs(UserView):
    """`/jobs`: submit, and list one's own."""

    def post(self, request: Request) -> Response:
        data = _valid(SubmissionIn, request)
        job, _ = operations.submit(
            request.user,
            operations.Submission(**data),
            _idempotency_key(request),
            replace=is_set(request, "override_pending"),
        )
        location = reverse("job", args=[job.pk])
        return _job(job, job.queue_position, status.HTTP_201_CREATED, Location=location)

    def get(self, request: Request) -> Response:
        pages = Pages()
        jobs = Job.objects.filter(user=request.user).defer("source").order_by("-id")
        page = pages.paginate_queryset(jobs, request, view=self)
        shown = [documents.summary(job, job.queue_position) for job in page]
        return pages.get_paginated_response(shown)


class OneJob(UserView):
    """`/jobs/ID`: look, or with `Prefer: wait=N` and `If-None-Match` wait for a change."""

    def get(self, request: Request, job_id: int) -> Response:
        known = request.headers.get("If-None-Match")
        seconds = _seconds_to_wait(request) if known is not None else 0
        etag = ""

        def changed() -> Response | None:
            nonlocal etag
            job = self.own_job(request, job_id)
            position = job.queue_position
            etag = _etag(job, position)
            return _job(job, position) if differs(etag, known) else None

        response = waiting.until(changed, seconds, request._request, job_id)
        if response is None:
            response = Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        return _with_wait_applied(request, response, seconds)


class CancelJob(UserView):
    """`/jobs/ID/cancel`."""

    def post(self, request: Request, job_id: int) -> Response:
        job = self.own_job(request, job_id)
        job = operations.cancel(job.pk, request.user.username)
        return _job(job, job.queue_position)


# --- For executors -----------------------------------------------------------------------


class ExecutorView(QueueView):
    """An address that takes an executor's token."""

    permission_classes = (IsExecutor,)


class Self(ExecutorView):
    """`/executor`: what one tells of itself while it asks for no job."""

    def put(self, request: Request) -> Response:
        operations.seen(request.user, _about(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Claims(ExecutorView):
    """`/claims`: take the next job, waiting for one with `Prefer: wait=N`."""

    def post(self, request: Request) -> Response:
        operations.seen(request.user, _about(request))
        key = _idempotency_key(request)
        # A host that is stopped or cut off cannot hang up. Its request is over before the lease
        # of what it runs is, or it would take the same job again, time after time.
        seconds = min(_seconds_to_wait(request), settings.TELERUN_LEASE_SECONDS // 2)
        asked_at = timezone.now()
        attempt = waiting.until(
            lambda: operations.claim(request.user, key, asked_at),
            seconds,
            request._request,
            waiting.QUEUE,
        )
        if attempt is None:
            response = Response(status=status.HTTP_204_NO_CONTENT)
        else:
            response = Response(documents.claimed(attempt), status.HTTP_201_CREATED)
        return _with_wait_applied(request, response, seconds)


class AttemptHeartbeat(ExecutorView):
    """`/attempts/ID/heartbeat`."""

    def post(self, request: Request, attempt_id: int) -> Response:
        data = _valid(HeartbeatIn, request)
        operations.seen(request.user)
        beat = operations.heartbeat(request.user, attempt_id, data["lease_token"], data["phase"])
        return Response(
            {"lease_seconds": beat.lease_seconds, "cancel_requested": beat.cancel_requested}
        )


class AttemptResult(ExecutorView):
    """`/attempts/ID/result`."""

    def put(self, request: Request, attempt_id: int) -> Response:
        data = _valid(ResultIn, request)
        lease_token = data.pop("lease_token")
        job = operations.finish(request.user, attempt_id, lease_token, operations.Result(**data))
        return Response({"job": job.pk, "state": job.state})


class AttemptRelease(ExecutorView):
    """`/attempts/ID/release`."""

    def post(self, request: Request, attempt_id: int) -> Response:
        data = _valid(ReleaseIn, request)
        job = operations.release(request.user, attempt_id, data["lease_token"], data["reason"])
        return Response({"job": job.pk, "state": job.state})


# --- Shared ------------------------------------------------------------------------------


def _about(request: Request) -> dict[str, Any]:
    """What an executor tells of itself."""
    about = request.data or {}
    if not isinstance(about, dict):
        raise ParseError("The body must be a JSON object.")
    return storable(about)


def _etag(job: Job, position: int | None) -> str:
    """Differs whenever the job looks different to its owner."""
    return f'"{job.version}-{position or 0}"'


def _job(
    job: Job, position: int | None, code: int = status.HTTP_200_OK, **headers: str
) -> Response:
    headers["ETag"] = _etag(job, position)
    return Response(documents.whole(job, position), code, headers=headers)


_serializer = functools.cache(lambda kind: kind())  # they keep nothing of what they check


def _valid(kind: type[Serializer], request: Request) -> dict[str, Any]:
    return _serializer(kind).run_validation(request.data)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise ParseError(f"An Idempotency-Key is at most {MAX_KEY_LENGTH} printable characters.")
    return key or None


def _seconds_to_wait(request: Request) -> int:
    """N of `Prefer: wait=N` (RFC 7240), at most the server's cap; 0 where there is none."""
    for preference in request.headers.get("Prefer", "").replace(";", ",").split(","):
        name, _, value = preference.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value[:9]), settings.TELERUN_MAX_WAIT_SECONDS)
    return 0


def _with_wait_applied(request: Request, response: Response, seconds: int) -> Response:
    if "Prefer" in request.headers:
        response["Preference-Applied"] = f"wait={seconds}"
    return response
