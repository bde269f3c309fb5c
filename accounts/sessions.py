"""Who is logged in to the pages, known from a request before it is one of Django's."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie


def has_logged_in(environ: dict[str, Any]) -> bool:
    """Whether a WSGI request's cookie is of the session of an active user."""
    key = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME, "")
    if not (key.isascii() and key.isalnum()):
        return False
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    return user.is_authenticated and user.is_active
