"""Errors as problem documents, `application/problem+json` (RFC 9457).

`Problem` is the one base class of what Telerun refuses. Every problem's `type` ends in a stable
slug; clients branch on it, never on the words.
"""

import logging
from typing import Any, ClassVar

from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
API_PREFIX = "/api/"


# --- What is refused ---------------------------------------------------------------------


class Problem(Exception):
    """The queue refuses.

    A subclass's docstring begins with its default detail: clients see it. It is also the title,
    unless the class, or the one that it is a kind of, names another. The message is for people;
    further `members` join the document.
    """

    status: ClassVar[int] = 409
    slug: ClassVar[str] = "conflict"
    title: ClassVar[str] = ""  # the same for every problem of this kind (RFC 9457)
    headers: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not cls.title:
            cls.title = cls._first_sentence().rstrip(".")

    def __init__(self, detail: str = "", *, retry_after: int = 0, **members: Any) -> None:
        super().__init__(detail or self._first_sentence())
        if retry_after:
            self.headers = {**self.headers, "Retry-After": str(retry_after)}
        self.members = members

    @classmethod
    def _first_sentence(cls) -> str:
        return (cls.__doc__ or "").partition("\n")[0]


class NotFound(Problem):
    """There is no such thing here."""

    status = 404
    slug = "not-found"


class BodyTooLarge(Problem):
    """The request body is too large."""

    status = 413
    slug = "body-too-large"
    title = "Body too large"


class TooMuchAtOnce(Problem):
    """You ask for too much at once. Try again in 2 seconds."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class LengthRequired(Problem):
    """Send the header Content-Length."""

    status = 411
    slug = "length-required"
    title = "Length required"


# What Django REST framework itself raises; the first class that fits gives the slug.
FRAMEWORK_SLUGS: dict[type[exceptions.APIException], str] = {
    exceptions.ParseError: "malformed-request",
    exceptions.ValidationError: "invalid-request",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not-found",
    exceptions.MethodNotAllowed: "method-not-allowed",
    exceptions.NotAcceptable: "not-acceptable",
    exceptions.UnsupportedMediaType: "unsupported-media-type",
}


# --- The answer --------------------------------------------------------------------------


def document(status: int, slug: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of a problem document, as RFC 9457 names them."""
    return {"type": f"/problems/{slug}", "title": title, "status": status, "detail": detail, **more}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's hook: the answer to an exception, None for a real bug (500)."""
    if isinstance(error, Http404):
        error = NotFound()
    if isinstance(error, RecursionError):
        error = exceptions.ParseError("The body is nested too deeply.")
    if isinstance(error, Problem):
        return _response(document_of(error), error.headers)
    if isinstance(error, exceptions.APIException):
        return _framework_exception(error)
    if isinstance(error, OperationalError | InterfaceError):
        return _response(unavailable(error), {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return None


def document_of(problem: Problem) -> dict[str, Any]:
    """The problem as its document."""
    return document(problem.status, problem.slug, problem.title, str(problem), **problem.members)


def _framework_exception(error: exceptions.APIException) -> Response:
    kinds = type(error).__mro__
    slug = next((FRAMEWORK_SLUGS[kind] for kind in kinds if kind in FRAMEWORK_SLUGS), "error")
    more, detail = {}, str(error.detail)
    if isinstance(error, exceptions.ValidationError):
        more, detail = {"errors": error.detail}, _first_message(error.detail)
    title = slug.replace("-", " ").capitalize()
    return _response(document(error.status_code, slug, title, detail, **more), {})


def _first_message(detail: Any, where: str = "") -> str:
    """One sentence out of the nested dicts and lists that a serializer raises."""
    if isinstance(detail, dict):
        key, value = next(iter(detail.items()))
        name = "" if key == "non_field_errors" else str(key)
        return _first_message(value, f"{where}.{name}".strip("."))
    if isinstance(detail, list):
        return _first_message(detail[0], where)
    return f"{where}: {detail}" if where else str(detail)


def unavailable(error: Exception) -> dict[str, Any]:
    """The document of a database that is away or too busy; gives the connection up."""
    log.warning("Answered 503: %s", str(error).strip())
    connection.close()
    return document(
        503,
        "unavailable",
        "Unavailable for the moment",
        "The queue has too much to do, or its database does not answer. "
        f"Try again in {RETRY_AFTER_SECONDS} seconds.",
    )


def _response(members: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(members, status=members["status"], headers=headers, content_type=CONTENT_TYPE)


def plain_response(members: dict[str, Any], **headers: str) -> JsonResponse:
    """The same outside of Django REST framework's views."""
    return JsonResponse(
        members, status=members["status"], headers=headers, content_type=CONTENT_TYPE
    )
