"""The base views of users and executors, and what an executor says of itself."""

from typing import Any

from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import executors
from accounts.permissions import IsExecutor, IsUser
from foundation.api.description import FREE_FORM, WITH_BODY, answer, extend_schema
from foundation.api.inputs import storable
from foundation.api.views import ApiView


class UserView(ApiView):
    """An address that takes a user's token."""

    permission_classes = (IsUser,)


class ExecutorView(ApiView):
    """An address that takes an executor's token."""

    permission_classes = (IsExecutor,)


class ExecutorReport(ExecutorView):
    """`/executor`: what one says of itself while it asks for no job."""

    @extend_schema(
        operation_id="tell",
        summary="Tell of itself, without asking for a job.",
        request=FREE_FORM,
        responses={204: answer("It is noted.")},
        problems=WITH_BODY,
    )
    def put(self, request: Request) -> Response:
        executors.seen(request.user, report_in(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def report_in(request: Request) -> dict[str, Any]:
    """What the executor says of itself in the body: any JSON object. Raises ParseError."""
    report = request.data or {}
    if not isinstance(report, dict):
        raise ParseError("The body must be a JSON object.")
    return storable(report)
