"""Middlewares of Django's that only people's pages need: the API has a token, and no browser.

They cost an API request a tenth of its time, and leave circles of objects that keep its body.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest

API = "/api/"


class _PagesOnly:
    """Put before a middleware's class, it passes requests of the API by."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)  # type: ignore[attr-defined]
        return super().__call__(request)  # type: ignore[misc]


class Sessions(_PagesOnly, SessionMiddleware):
    """Who is logged in, in a cookie."""

    def process_request(self, request: HttpRequest) -> None:
        """Drops what is no key: in quotes a cookie may hold NUL, which PostgreSQL refuses."""
        if not request.COOKIES.get(settings.SESSION_COOKIE_NAME, "").isalnum():
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().process_request(request)


class LogIns(_PagesOnly, AuthenticationMiddleware):
    """`request.user`."""


class Messages(_PagesOnly, MessageMiddleware):
    """What the next page tells of what was done on the last one."""
