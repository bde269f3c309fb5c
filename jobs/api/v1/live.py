"""The API of live output: an executor sends what a program prints, as it comes."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import ExecutorView
from foundation.api.description import LEASE_LOST, WITH_BODY, answer, extend_schema
from foundation.api.inputs import validated
from foundation.problems import BodyTooLarge
from jobs.api.v1.answers import WatchedAnswer
from jobs.api.v1.inputs import OutputIn
from jobs.live import taking
from jobs.live.taking import Output


class AttemptOutput(ExecutorView):
    """`/attempts/ID/output`."""

    @extend_schema(
        operation_id="send_output",
        summary="Send what the program printed, from that byte of the log on. What is there "
        "already is not changed.",
        request=OutputIn,
        responses={200: answer("It is taken, or was before.", WatchedAnswer)},
        problems=(404, *WITH_BODY),
        own_problems=LEASE_LOST,
    )
    def post(self, request: Request, attempt_id: int) -> Response:
        data = validated(OutputIn, request)
        if len(data["text"]) > taking.MAX_BYTES:
            raise BodyTooLarge(f"At most {taking.MAX_BYTES} bytes of output in one request.")
        output = Output(data["log"], data["offset"], data["text"])
        is_watched = taking.take(request.user, attempt_id, data["lease_token"], output)
        document: WatchedAnswer = {"watched": is_watched}
        return Response(document)
