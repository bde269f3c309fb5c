"""The base views of users and executors, log-in, and what an executor says of itself."""

from typing import Annotated, Any, TypedDict

from rest_framework import status
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import executors, failures, login_codes
from accounts.errors import UnknownLoginCode
from accounts.logins import UNKNOWN
from accounts.permissions import IsExecutor, IsUser
from foundation.acting import acting
from foundation.api.description import FREE_FORM, WITH_BODY, answer, extend_schema
from foundation.api.inputs import PlainText, StrictSerializer, storable, validated
from foundation.api.views import ApiView


class UserView(ApiView):
    """An address that takes a user's token."""

    permission_classes = (IsUser,)


class ExecutorView(ApiView):
    """An address that takes an executor's token."""

    permission_classes = (IsExecutor,)


class UserAnswer(TypedDict):
    """Whose token it is."""

    username: str


class LoginAnswer(UserAnswer):
    """The token that a log-in code became."""

    token: Annotated[str, "It takes the place of the user's present one when it is first used."]


class OwnUser(UserView):
    """`/user`: who one is."""

    @extend_schema(
        operation_id="get_user",
        summary="Whose token this is.",
        responses={200: answer("The user.", UserAnswer)},
    )
    def get(self, request: Request) -> Response:
        return Response({"username": request.user.username})


class LoginIn(StrictSerializer):
    """A log-in code."""

    code = PlainText(max_length=1000, help_text="Whole: `tlrc_...`")


class Login(ApiView):
    """`/login`: a log-in code for a token. For everyone."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="login",
        summary="A log-in code for a token.",
        request=LoginIn,
        responses={200: answer("The token, shown this once.", LoginAnswer)},
        problems=WITH_BODY,
        own_problems={403: "`login-code-refused`"},
    )
    def post(self, request: Request) -> Response:
        code = validated(LoginIn, request)["code"]
        try:
            with acting(UNKNOWN, failures.address_of(request)):
                user, token = login_codes.redeem(code)
        except UnknownLoginCode as error:
            raise failures.count_wrong_token(request, error) from None
        told = {"username": user.username, "token": token}
        return Response(told, headers={"Cache-Control": "no-store"})


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
