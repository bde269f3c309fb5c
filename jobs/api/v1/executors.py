"""The API for executors: claim a job, report on an attempt. Thin, as for users."""

from typing import Any

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import executors, platforms
from accounts.api.views import ExecutorView, report_in
from accounts.platforms import Service
from foundation.api.description import (
    FREE_FORM,
    LEASE_LOST,
    WITH_BODY,
    answer,
    extend_schema,
    header,
)
from foundation.api.inputs import validated
from foundation.serving import waiting
from jobs import claiming, leases, quota, reporting
from jobs.api.v1 import answers
from jobs.api.v1.inputs import HeartbeatIn, ReleaseIn, ResultIn
from jobs.api.v1.requests import idempotency_key, seconds_to_wait, with_wait_applied
from jobs.api.v1.users import APPLIED, KEY, PREFER
from jobs.live import watching
from jobs.models import Attempt


class Claims(ExecutorView):
    """`/claims`: take the next job, waiting for one with `Prefer: wait=N`."""

    @extend_schema(
        operation_id="claim",
        summary="Take the next job, or wait for one.",
        request=FREE_FORM,
        parameters=[PREFER, KEY, header("Preference-Applied", APPLIED, 201, 204)],
        responses={
            201: answer("An attempt at a job.", answers.ClaimAnswer),
            204: answer("There is none."),
        },
        problems=WITH_BODY,
    )
    def post(self, request: Request) -> Response:
        report = report_in(request)
        about = {name: value for name, value in report.items() if name != "platforms"}
        free = free_places_in(report)
        executors.seen(request.user, about)
        key = idempotency_key(request)
        # A host that is stopped or cut off cannot hang up. Its request is over before the lease
        # of what it runs is, or it would take the same job again, time after time.
        seconds = min(seconds_to_wait(request), leases.seconds() // 2)
        asked_at = timezone.now()

        def service() -> Service:  # at each look: staff may rename and restrict at any time
            return platforms.service(request.user, free, about.get("languages"))

        def look() -> tuple[Attempt, Service] | None:
            now = service()
            attempt = claiming.claim(request.user, key, asked_at, now)
            return attempt and (attempt, now)

        found = waiting.until(
            look,
            seconds,
            request._request,
            waiting.QUEUE,
            platforms=service().names,
            platform_of=lambda found: found[0].job.platform,
        )
        if found is None:
            response = Response(status=status.HTTP_204_NO_CONTENT)
        else:
            response = Response(answers.claimed(*found), status.HTTP_201_CREATED)
        return with_wait_applied(request, response, seconds)


def free_places_in(report: dict[str, Any]) -> dict[str, int] | None:
    """The free places by platform that a claim's body names; None if it names none.

    Raises ParseError.
    """
    free = report.get("platforms")
    if free is None:
        return None
    is_well_formed = isinstance(free, dict) and len(free) <= platforms.MAX_PLATFORMS
    if not is_well_formed or not all(map(_is_count, free.values())):
        raise ParseError("platforms: an object of free slots by platform.")
    return {name: slots for name, slots in free.items() if platforms.is_name(name)}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class AttemptHeartbeat(ExecutorView):
    """`/attempts/ID/heartbeat`."""

    @extend_schema(
        operation_id="heartbeat",
        summary="Renew the lease.",
        request=HeartbeatIn,
        responses={200: answer("The lease.", answers.HeartbeatAnswer)},
        problems=(404, *WITH_BODY),
        own_problems=LEASE_LOST,
    )
    def post(self, request: Request, attempt_id: int) -> Response:
        data = validated(HeartbeatIn, request)
        executors.seen(request.user)
        beat = reporting.heartbeat(request.user, attempt_id, data["lease_token"], data["phase"])
        document: answers.HeartbeatAnswer = {
            "lease_seconds": beat.lease_seconds,
            "cancel_requested": beat.cancel_requested,
            "watched": watching.is_watched(beat.job_id),
        }
        return Response(document)


class AttemptResult(ExecutorView):
    """`/attempts/ID/result`."""

    @extend_schema(
        operation_id="finish",
        summary="Report the result. Further members are kept as `details`.",
        request=ResultIn,
        responses={200: answer("It is taken, or was before.", answers.ReportedAnswer)},
        problems=(404, *WITH_BODY),
        own_problems={409: "`lease-lost`, `result-conflict`"},
    )
    def put(self, request: Request, attempt_id: int) -> Response:
        data = validated(ResultIn, request)
        lease_token = data.pop("lease_token")
        job = reporting.finish(request.user, attempt_id, lease_token, reporting.Result(**data))
        quota.settle()
        return Response(answers.reported(job))


class AttemptRelease(ExecutorView):
    """`/attempts/ID/release`."""

    @extend_schema(
        operation_id="release",
        summary="Give the job back, with what its program printed until then.",
        request=ReleaseIn,
        responses={200: answer("It is given back.", answers.ReportedAnswer)},
        problems=(404, *WITH_BODY),
        own_problems=LEASE_LOST,
    )
    def post(self, request: Request, attempt_id: int) -> Response:
        data = validated(ReleaseIn, request)
        lease_token, reason = data.pop("lease_token"), data.pop("reason")
        counts = data.pop("counts")
        job = reporting.release(request.user, attempt_id, lease_token, reason, data, counts=counts)
        quota.settle()
        return Response(answers.reported(job))
