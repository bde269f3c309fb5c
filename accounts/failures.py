"""Wrong tokens and failed log-ins, counted in the database, so that all servers count together.

Only failures are counted: a bearer of a good token never waits for somebody else's failures
(docs/adr/0010). A count begins with the first failure and ends a while later.
"""

import hashlib
import ipaddress
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone
from rest_framework.request import Request

from accounts.errors import TooManyWrongTokens
from accounts.models import FailureCount, LoginCount
from foundation.problems import Problem

log = logging.getLogger(__name__)

WRONG_TOKENS = timedelta(minutes=1)
FAILED_LOGINS = timedelta(minutes=10)
DEVICE_COOKIE = "telerun_browser"
_DEVICE_SECONDS = 365 * 86400
_signer = TimestampSigner(salt="telerun.browser")


# --- Counting ----------------------------------------------------------------------------


def count(key: str, maximum: int, period: timedelta) -> int:
    """Counts a failure; 0 if it is one of the `maximum` in a period, else the seconds to wait.

    Beyond that nothing is written: it costs a look, however often somebody tries. 0 allows all.
    """
    if not maximum:
        return 0
    if (left := seconds_left(key, maximum)) or _add(key, maximum, period):
        return left
    return max(1, seconds_left(key, maximum))  # others were faster


def seconds_left(key: str, maximum: int) -> int:
    """How long until `key` may fail again; 0 for now."""
    now = timezone.now()
    full = FailureCount.objects.filter(key=key, count__gte=maximum).exclude(over(now)).first()
    return ceil((full.ends_at - now).total_seconds()) if full else 0


def over(now: datetime) -> Q:
    """Which counts have ended; one that ends too late was begun before the clock was set back."""
    return Q(ends_at__lte=now) | Q(ends_at__gt=now + FAILED_LOGINS)


@transaction.atomic
def _add(key: str, maximum: int, period: timedelta) -> bool:
    now = timezone.now()
    FailureCount.objects.filter(over(now)).delete()
    row, new = FailureCount.objects.get_or_create(
        key=key, defaults={"count": 1, "ends_at": now + period}
    )
    if new:
        return True
    added = FailureCount.objects.filter(key=key, count__lt=maximum).update(count=F("count") + 1)
    if added and row.count + 1 == maximum:
        log.warning("Too many failures: %s has to wait.", key)
    return bool(added)


def take_back(key: str) -> None:
    """It was no failure after all."""
    FailureCount.objects.filter(key=key, count__gt=0).update(count=F("count") - 1)


def forget(names: Iterable[str], addresses: Iterable[str]) -> None:
    """Nothing is known any more of what was counted under these names, and from these addresses."""
    those = Q(key__startswith="log-ins by browser")  # whose they are, none says
    for name in names:
        those |= Q(key__endswith=_of(name))
    for address in addresses:
        those |= Q(key__endswith=f" from {address}")
    for counts in (FailureCount, LoginCount):
        counts.objects.filter(those).delete()


def _from(address: str) -> str:
    return f"log-ins from {address}"


def _of(name: str) -> str:
    # Hashed: some type their password where the name belongs.
    return f"log-ins of {_hash(name)}"


def forget_all() -> None:
    """Everyone may try again at once."""
    FailureCount.objects.all().delete()


def address_of(request: HttpRequest | Request) -> str:
    """Where a request comes from: an IPv4 address, or the /64 that a host of IPv6 has.

    `X-Forwarded-For` counts only from TELERUN_PROXIES, and there only what the last of those
    that are not proxies of ours wrote: the rest is the client's own word.
    """
    address = request.META.get("REMOTE_ADDR", "")
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while address in settings.TELERUN_PROXIES and hops and (hop := hops.pop().strip()):
        address = hop
    return _net(address)


def _net(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


# --- Tokens ------------------------------------------------------------------------------


def count_wrong_token(request: Request, error: Problem) -> Problem:
    """Counts it, a wrong log-in code too; what to answer: `error`, or TooManyWrongTokens."""
    maximum = settings.TELERUN_WRONG_TOKENS_PER_MINUTE
    wait = count(f"wrong tokens from {address_of(request)}", maximum, WRONG_TOKENS)
    if not wait:
        return error
    detail = f"{error} Too many wrong tokens came from your address: wait {wait} seconds."
    return TooManyWrongTokens(detail, retry_after=wait)


# --- Log-ins -----------------------------------------------------------------------------


class LoginAttempt:
    """A password that is about to be tried. Counted before it is: hashing costs, and many come
    at once. A browser from which that user has logged in before has a count of its own, so that
    nobody can lock the user out of it by failing elsewhere under the same name or address; and so
    has a session, in which the password is asked for once more.
    """

    def __init__(self, request: HttpRequest, name: str) -> None:
        self._request, self._name = request, name
        self._maximum = settings.TELERUN_FAILED_LOGINS
        cookie = request.COOKIES.get(DEVICE_COOKIE, "")
        if request.user.is_authenticated and request.user.get_username() == name:
            self._keys = [f"log-ins in session {_hash(request.session.session_key or '')}"]
        elif _is_of(cookie, name):
            self._keys = [f"log-ins by browser {_hash(cookie)}"]
        else:
            self._keys = [_from(address_of(request)), _of(name)]
        self._counted: list[str] = []
        self.full = ""  # the key that has to wait

    def begin(self) -> int:
        """0 if the password may be tried, else the seconds to wait."""
        for key in self._keys:
            if wait := count(key, self._maximum, FAILED_LOGINS):
                self.succeeded()  # not tried, so not failed
                self.full = key
                return wait
            self._counted.append(key)
        return 0

    def succeeded(self) -> None:
        for key in self._counted:
            take_back(key)

    def failed(self) -> None:
        """Tells of it, as Django does where it tries a password itself."""
        credentials = {"username": self._name}
        user_login_failed.send(__name__, credentials=credentials, request=self._request)


def remember_browser(response: HttpResponse, name: str) -> None:
    """Gives the browser the cookie by which it is known as that user's."""
    response.set_cookie(
        DEVICE_COOKIE,
        _signer.sign(name),
        max_age=_DEVICE_SECONDS,
        path=resolve_url(settings.LOGIN_URL),
        secure=True,
        httponly=True,
        samesite="Strict",
    )


def _is_of(cookie: str, name: str) -> bool:
    try:
        return _signer.unsign(cookie, max_age=_DEVICE_SECONDS) == name
    except BadSignature:
        return False


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
