"""Log-ins to the pages: a cookie of their own, which is not the admin's.

A session ends with the working day, at log-out, and when its user's token is replaced or revoked.
"""

import re
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.utils import timezone

from accounts.models import User
from accounts.tokens import digest
from foundation.database.statements import Parameter, Select
from pages.models import Session

_COOKIE = "__Host-telerun"  # browsers take it from this host alone, over TLS, for every path
MAX_OF_USER = 20  # sessions; one more ends the oldest
_SECRET_BYTES = 32

_OF_SECRET = Session.valid(Parameter("now", models.DateTimeField())).filter(pk=Parameter("digest"))
_USER = Select(
    User.objects.filter(pk=_OF_SECRET.values("user")[:1])
    .only("username", "is_active", "is_staff", "token_digest")
    .order_by()
)


def cookie_of(request: HttpRequest) -> str:
    """The name of the cookie. Browsers send a host's cookies to all of its ports, and each port may
    be the queue of another course."""
    port = re.search(r":(\d+)$", request.get_host())
    return f"{_COOKIE}-{port[1] if port else 443}"


def user_of(request: HttpRequest) -> User | None:
    """Who is logged in. A kept statement, which may run on the hub. Raises DatabaseError."""
    secret = request.COOKIES.get(cookie_of(request), "")
    return _USER.first(digest=digest(secret), now=timezone.now()) if secret else None


def begin(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Logs the user in to the browser that gets the response."""
    secret, now = secrets.token_urlsafe(_SECRET_BYTES), timezone.now()
    ends_at = now + timedelta(hours=settings.TELERUN_PAGE_HOURS)
    with transaction.atomic():
        end(request)
        Session.objects.filter(ends_at__lte=now).delete()
        _end_oldest(user)
        Session.objects.create(
            digest=digest(secret),
            user=user,
            token_digest=user.token_digest,
            begun_at=now,
            ends_at=ends_at,
        )
    rotate_token(request)  # of its forms, so that nobody who knew it before can send one
    name = cookie_of(request)
    response.set_cookie(name, secret, secure=True, httponly=True, samesite="Lax")


def end(request: HttpRequest) -> None:
    """Ends the browser's session, if there is one."""
    if secret := request.COOKIES.get(cookie_of(request), ""):
        Session.objects.filter(pk=digest(secret)).delete()


def forget(request: HttpRequest, response: HttpResponse) -> None:
    """The browser forgets its cookie."""
    name = cookie_of(request)
    response.set_cookie(name, "", max_age=0, secure=True, httponly=True, samesite="Lax")


def _end_oldest(user: User) -> None:
    newest = Session.objects.filter(user=user).order_by("-begun_at").values_list("pk", flat=True)
    Session.objects.filter(pk__in=list(newest[MAX_OF_USER - 1 :])).delete()
