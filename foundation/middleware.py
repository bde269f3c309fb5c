"""Middlewares: what is refused before any view, and Django's own for people's pages alone.

Sessions, log-ins and messages cost an API request a tenth of its time, and leave reference cycles
that keep its body in memory; the API has a token, and no browser.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse

from foundation.problems import (
    API_PREFIX,
    RETRY_AFTER_SECONDS,
    BodyTooLarge,
    LengthRequired,
    document_of,
    plain_response,
    unavailable,
)
from foundation.serving.pages import BUSY, TOO_LARGE

RETRY_AFTER = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def is_for_staff(request: HttpRequest) -> bool:
    """Whether it is for a page of the admin."""
    return request.path_info.startswith(reverse("admin:index"))


def content_security_policy(get_response: Any) -> Any:
    """Tells browsers what a page may load and run. A view may answer with a stricter policy."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not request.path_info.startswith((API_PREFIX, *settings.TELERUN_WITHOUT_POLICY)):
            policy = settings.TELERUN_CONTENT_SECURITY_POLICY
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware


def refuse_bodies(get_response: Any) -> Any:
    """Refuses a body in chunks (411), which Django would take for an empty one, and one that is
    larger than its sender may send (413). Nothing of either was read."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            problem = LengthRequired("Send the body whole, with a Content-Length.")
            return plain_response(document_of(problem))
        if request.META.get(TOO_LARGE):
            return plain_response(document_of(BodyTooLarge()))
        if request.META.get(BUSY):
            return _unavailable(request, OperationalError("too many requests wait for a thread"))
        return get_response(request)

    return middleware


class DatabaseUnavailable:
    """Answers 503 with Retry-After, on every page, while the database is away or busy."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        return _unavailable(request, error)


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """503: a page for a person, a problem for a program."""
    document = unavailable(error)
    is_for_programs = request.path_info.startswith(API_PREFIX)
    if is_for_programs or "text/html" not in request.headers.get("Accept", ""):
        return plain_response(document, **RETRY_AFTER)
    context = {"words": document["detail"], "is_for_staff": is_for_staff(request)}
    page = render_to_string("503.html", context)
    return HttpResponse(page, status=503, headers=RETRY_AFTER)


class _PagesOnly:
    """Put before a middleware's class, it passes requests of the API by."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)  # type: ignore[attr-defined]
        return super().__call__(request)  # type: ignore[misc]


class PageSessions(_PagesOnly, SessionMiddleware):
    """Who is logged in, in a cookie."""

    def process_request(self, request: HttpRequest) -> None:
        """Drops what is no key: in quotes a cookie may hold NUL, which PostgreSQL refuses."""
        if not request.COOKIES.get(settings.SESSION_COOKIE_NAME, "").isalnum():
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().process_request(request)


class PageLogIns(_PagesOnly, AuthenticationMiddleware):
    """`request.user`."""


class PageMessages(_PagesOnly, MessageMiddleware):
    """What the next page says about what was done on the last one."""
