"""Errors as `application/problem+json` (RFC 9457), for the API, and 503 for everyone.

Every problem's `type` ends in a stable slug; clients branch on it, never on the words.
"""

import logging
from typing import Any, ClassVar

from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.failures import TooManyWrongTokens
from accounts.permissions import WrongTokenKind
from jobs.errors import JobError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class BodyTooLarge(exceptions.APIException):
    """The request's body is larger than any honest one."""

    status_code = 413
    default_detail = "The request body is too large."
    default_code = "body-too-large"


class TooMuchAtOnce(exceptions.APIException):
    """The bodies that this bearer is sending are more than any honest client's."""

    status_code = 429
    default_detail = "You are sending too much at once. Try again in 2 seconds."
    default_code = "too-many-requests"
    wait = 2


class LengthRequired(exceptions.APIException):
    """The request does not say how long its body is."""

    status_code = 411
    default_detail = "Send the header Content-Length."
    default_code = "length-required"


class _Slugs:
    """Slugs for what Django REST framework itself raises."""

    BY_CLASS: ClassVar[dict[type[exceptions.APIException], str]] = {
        exceptions.ParseError: "malformed-request",
        exceptions.ValidationError: "invalid-request",
        exceptions.NotAuthenticated: "not-authenticated",
        exceptions.AuthenticationFailed: "invalid-token",
        WrongTokenKind: "wrong-token-kind",
        exceptions.PermissionDenied: "forbidden",
        exceptions.NotFound: "not-found",
        exceptions.MethodNotAllowed: "method-not-allowed",
        exceptions.NotAcceptable: "not-acceptable",
        exceptions.UnsupportedMediaType: "unsupported-media-type",
        exceptions.Throttled: "too-many-requests",
        TooManyWrongTokens: "too-many-wrong-tokens",
        BodyTooLarge: "body-too-large",
        TooMuchAtOnce: "too-many-requests",
        LengthRequired: "length-required",
    }

    @classmethod
    def of(cls, error: exceptions.APIException) -> str:
        return next((cls.BY_CLASS[c] for c in type(error).__mro__ if c in cls.BY_CLASS), "error")


def body(status: int, slug: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of a problem document, as RFC 9457 names them."""
    return {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail, **more}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's hook: the answer to an exception, None for a real bug (500)."""
    if isinstance(error, JobError):
        return _answer(
            body(error.status, error.slug, error.title, str(error), **error.members), error.headers
        )
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such thing here.")
    if isinstance(error, RecursionError):
        error = exceptions.ParseError("The body is nested too deeply.")
    if isinstance(error, exceptions.APIException):
        return _api_exception(error)
    if isinstance(error, OperationalError | InterfaceError):
        return _answer(_unavailable(error), {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return None


def _api_exception(error: exceptions.APIException) -> Response:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if isinstance(error, exceptions.ValidationError):
        more = {"errors": error.detail}
        detail = _first_message(error.detail)
    else:
        more = {}
        detail = str(error.detail)
    title = _Slugs.of(error).replace("-", " ").capitalize()
    return _answer(body(error.status_code, _Slugs.of(error), title, detail, **more), headers)


def _first_message(detail: Any, where: str = "") -> str:
    """One sentence out of the nested dicts and lists that a serializer raises."""
    if isinstance(detail, dict):
        key, value = next(iter(detail.items()))
        name = "" if key == "non_field_errors" else str(key)
        return _first_message(value, f"{where}.{name}".strip("."))
    if isinstance(detail, list):
        return _first_message(detail[0], where)
    return f"{where}: {detail}" if where else str(detail)


def _answer(document: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(document, status=document["status"], headers=headers, content_type=CONTENT_TYPE)


# --- Outside the API's views -------------------------------------------------------------


def _unavailable(error: Exception) -> dict[str, Any]:
    log.warning("Answered 503: %s", str(error).strip())
    connection.close()
    return body(
        503,
        "unavailable",
        "Unavailable for the moment",
        "The queue has too much to do, or its database does not answer. "
        f"Try again in {RETRY_AFTER_SECONDS} seconds.",
    )


def _json(document: dict[str, Any]) -> JsonResponse:
    return JsonResponse(document, status=document["status"], content_type=CONTENT_TYPE)


def length_required(get_response: Any) -> Any:
    """Middleware: refuses a body in chunks (411), which Django would take for an empty one."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            words = "Send the body whole, with a Content-Length."
            return _json(body(411, "length-required", "Length required", words))
        return get_response(request)

    return middleware


class DatabaseUnavailableMiddleware:
    """Answers 503 with Retry-After, on every page, while the database is away or busy."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        response = _json(_unavailable(error))
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or request.path == "/healthz"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404: a problem under /api/, Django's page elsewhere."""
    if _is_api(request):
        return _json(
            body(
                404,
                "not-found",
                "Not found",
                "There is nothing at this address; this server speaks /api/v1.",
            )
        )
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400: a problem under /api/, Django's page elsewhere."""
    if _is_api(request):
        return _json(body(400, "malformed-request", "Bad request", "The request is malformed."))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500: a problem under /api/, Django's page elsewhere; the traceback is in the log alone."""
    if _is_api(request):
        return _json(
            body(500, "internal-error", "Internal error", "The queue failed; see its log.")
        )
    return defaults.server_error(request)
