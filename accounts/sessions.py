"""Log-ins of staff: how old they are, and who is logged in before a request is one of Django's.

A session ends a working day after its log-in, whatever is done in it, and when its user's password,
role or second factor changes (User.get_session_auth_hash).
"""

import time
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user, logout, update_session_auth_hash
from django.contrib.sessions.models import Session
from django.http import HttpRequest, parse_cookie
from django.utils import timezone

from accounts.models import User

FRESH_SECONDS = 15 * 60
_BEGAN = "telerun_began"  # when the log-in was
_PROVED = "telerun_proved"  # when the password was last given


def has_logged_in(environ: dict[str, Any]) -> bool:
    """Whether a WSGI request's cookie is of the session of an active user."""
    key = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME, "")
    if not (key.isascii() and key.isalnum()):
        return False
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    return user.is_authenticated and user.is_active


def note_log_in(request: HttpRequest, **_signal: Any) -> None:
    """Receives Django's signal: somebody has just logged in."""
    request.session[_BEGAN] = request.session[_PROVED] = time.time()


def prove(request: HttpRequest) -> None:
    """Whoever has logged in has just given the password again."""
    request.session[_PROVED] = time.time()


def is_fresh(request: HttpRequest) -> bool:
    """Whether the password was given a moment ago. A time to come is one of another clock."""
    return abs(time.time() - request.session.get(_PROVED, 0)) < FRESH_SECONDS


def end_if_over(request: HttpRequest) -> None:
    """Logs out whoever logged in longer ago than a working day."""
    if not request.user.is_authenticated:
        return
    began = request.session.get(_BEGAN)
    if began is None and not _is_of_two_weeks(request):
        request.session[_BEGAN] = time.time()  # of a version before; it lasts as long as a new one
    elif began is None or abs(time.time() - began) >= settings.SESSION_COOKIE_AGE:
        logout(request)


def _is_of_two_weeks(request: HttpRequest) -> bool:
    """Whether the session was made to last longer than sessions do now."""
    latest = timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    sessions = Session.objects.filter(pk=request.session.session_key)
    return sessions.filter(expire_date__gt=latest).exists()


def stay(request: HttpRequest, user: User) -> None:
    """The request's own session stays, if it is the user's, whose others have just ended."""
    if request.user.pk == user.pk:
        update_session_auth_hash(request, user)
