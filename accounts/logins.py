"""Log-ins on record: good and failed ones, log-outs, each with the client's address.

Nobody can flood the audit log with them: of one address, of one user and of all together only so
many are recorded in ten minutes, and then one entry that says so. Failed ones, those of students
and those of staff are counted apart, so that nobody hides one kind behind another. Failed API
tokens are none: programs send them by the thousand (accounts/failures.py counts them).
"""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from accounts import failures
from accounts.models import LoginCount, User
from accounts.signals import account_changed

ADMIN, PAGE = "admin", "page"  # where somebody logs in
# People type their password where the name belongs: only names that there are are recorded.
UNKNOWN = "an unknown name"  # no user can be called so: it has spaces
LIMIT_REACHED = "login-limit-reached"

MOST_OF_ONE = 60  # log-ins and log-outs of a user that are recorded in ten minutes
MOST_FAILED = 10  # failed ones from an address, where no limit is set
MOST_IN_ALL = 500  # of each kind
_FAILED, _GOOD = "recorded failed log-ins", "recorded log-ins to "


def succeeded(request: HttpRequest, user: User, where: str) -> None:
    """Somebody logged in."""
    _record_of_user(request, "logged-in", user, where)


def ended(request: HttpRequest, user: User, where: str) -> None:
    """Somebody logged out."""
    _record_of_user(request, "logged-out", user, where)


def note_log_in(request: HttpRequest, user: User, **_signal: Any) -> None:
    """Receives Django's user_logged_in: the admin's, whatever steps led to it."""
    if _is_real(request):
        succeeded(request, user, ADMIN)


def note_log_out(request: HttpRequest, user: User | None, **_signal: Any) -> None:
    """Receives Django's user_logged_out."""
    if _is_real(request) and user is not None:
        ended(request, user, ADMIN)


def _is_real(request: HttpRequest | None) -> bool:
    """Whether a client asks, and not a program that makes a session."""
    return request is not None and "REMOTE_ADDR" in request.META


def failed(request: HttpRequest, typed: str, where: str) -> None:
    """Somebody typed a name with a password or token that is not that user's."""
    maximum = settings.TELERUN_FAILED_LOGINS or MOST_FAILED
    key = f"recorded log-ins from {failures.address_of(request)}"
    _record(request, "login-failed", _known(typed), where, (key, maximum), _FAILED)


def refused(request: HttpRequest, typed: str, where: str, key: str) -> None:
    """Too many have failed: nothing was tried. Recorded once for each `key` that has to wait."""
    _record(request, LIMIT_REACHED, _known(typed), where, (f"recorded: {key}", 0), _FAILED)


def _record_of_user(request: HttpRequest, action: str, user: User, where: str) -> None:
    key = f"recorded log-ins of user {user.pk}"
    _record(request, action, user.get_username(), where, (key, MOST_OF_ONE), _GOOD + where)


def _record(
    request: HttpRequest, action: str, name: str, where: str, limit: tuple[str, int], kind: str
) -> None:
    for key, maximum in (limit, (kind, MOST_IN_ALL)):
        place = _nth(key, maximum)
        if place == 0:
            return
        if place > maximum:
            action = LIMIT_REACHED
    account_changed.send(
        _record,
        actor=name,
        action=action,
        name=name,
        address=failures.address_of(request),
        about={"to": where},
    )


def _nth(key: str, most: int) -> int:
    """Counts; which of its ten minutes this is, `most` + 1 for the first one too many, and 0 for
    all after it: of those nothing is written."""
    now = timezone.now()
    full = LoginCount.objects.filter(key=key, count__gt=most).exclude(failures.over(now))
    if full.exists():
        return 0
    with transaction.atomic():
        LoginCount.objects.filter(failures.over(now)).delete()
        begun = {"count": 1, "ends_at": now + failures.FAILED_LOGINS}
        if LoginCount.objects.get_or_create(key=key, defaults=begun)[1]:
            return 1
        one = LoginCount.objects.filter(key=key)
        if not one.filter(count__lte=most).update(count=F("count") + 1):
            return 0  # others were faster
        return one.values_list("count", flat=True)[0]


def _known(typed: str) -> str:
    name = User.normalize_username(typed)
    is_storable = name.isprintable()  # PostgreSQL refuses to look for NUL
    return name if is_storable and User.objects.filter(username=name).exists() else UNKNOWN
