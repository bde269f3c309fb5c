"""Log-in codes: a word for a student's terminal, which becomes their token (docs/adr/0027).

A code is used up when a token that it gave is first used. Until then it can be redeemed again, and
then the token that it gave before is worth nothing; the user's present token works all the while.
"""

import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import login_code_text, tokens
from accounts.errors import InvalidToken, LoginCodeRefused, UnknownLoginCode
from accounts.models import LoginCode, User
from accounts.public_address import PublicAddress
from accounts.signals import account_changed
from foundation.database.statements import Parameter, Select, update

_UNUSED_LASTS = timedelta(hours=1)  # of a token, beyond its code: it was given in time
_DIGEST = Parameter("digest")
_OF_TOKEN = Select(
    LoginCode.objects.filter(token_digest=_DIGEST, used_at=None).only(
        "user_id", "token_digest", "expires_at"
    )
)
_USER = Select(User.objects.filter(pk=Parameter("user")).only("username", "is_active"))


class _OthersWereFaster(Exception):
    """The code was used up, or gave another token, since it was looked at."""


@transaction.atomic
def make(user: User, actor: str, address: PublicAddress, days: int | None = None) -> str:
    """A new code for the user, valid for so many days; the one before it ends."""
    secret = secrets.token_bytes(login_code_text.SECRET_BYTES)
    days = settings.TELERUN_LOGIN_CODE_DAYS if days is None else days
    LoginCode.objects.update_or_create(
        user=user,
        defaults={
            "digest": login_code_text.digest(secret),
            "expires_at": timezone.now() + timedelta(days=days),
            "used_at": None,
            "token_digest": None,
        },
    )
    account_changed.send(make, actor=actor, action="login-code-made", name=str(user))
    return login_code_text.encode(secret, address.address, address.pin)


@transaction.atomic
def redeem(text: str) -> tuple[User, str]:
    """The code's user and a new token. Raises LoginCodeRefused; UnknownLoginCode is counted."""
    digest = login_code_text.digest_of(text)
    code = (
        LoginCode.objects.select_related("user").filter(digest=digest).first() if digest else None
    )
    if code is None or not secrets.compare_digest(code.digest, digest):
        raise UnknownLoginCode
    refuse_what_is_over(code)
    token = tokens.make(tokens.USER_PREFIX)
    new = {"token_digest": tokens.digest(token)}
    if not update(LoginCode, {"id": code.pk, "digest": digest, "used_at": None}, **new):
        raise LoginCodeRefused(_USED)
    name = str(code.user)
    account_changed.send(redeem, actor=name, action="login-code-redeemed", name=name)
    return code.user, token


_USED = (
    "This log-in code was used already. If that was not you, tell the course staff at once; "
    "otherwise ask them for a new one."
)


def refuse_what_is_over(code: LoginCode) -> None:
    """Raises LoginCodeRefused for a code that was used, is too old, or is of a disabled user."""
    if code.used_at is not None:
        raise LoginCodeRefused(_USED)
    if code.expires_at <= timezone.now():
        raise LoginCodeRefused(
            f"This log-in code expired on {code.expires_at:%Y-%m-%d at %H:%M} UTC. "
            "Ask the course staff for a new one."
        )
    if not code.user.is_active:
        raise LoginCodeRefused("This account is disabled. Ask the course staff.")


def user_of_new_token(digest: str) -> User | None:
    """The user whose code gave the token, which from now on is theirs; the one before ends.

    None if no code gave it, or a later one took its place. Raises InvalidToken for one that was
    not used by an hour after its code expired: kept for later it would outlive every code.
    """
    code = _OF_TOKEN.first(digest=digest)
    if code is None or not secrets.compare_digest(code.token_digest, digest):
        return None
    if code.expires_at + _UNUSED_LASTS <= timezone.now():
        raise InvalidToken(
            "The log-in code of this token expired before the token was first used. "
            "Ask the course staff for a new code."
        )
    user = _USER.first(user=code.user_id)
    if user is None or not user.is_active:
        return user
    try:
        _use(code, user, digest)
    except _OthersWereFaster:
        return None
    return user


@transaction.atomic
def _use(code: LoginCode, user: User, digest: str) -> None:
    """Locks the user's row first, as whoever changes a token does."""
    now = timezone.now()
    update(User, {"id": user.pk}, token_digest=digest, token_issued_at=now)
    used = {"used_at": now, "token_digest": None}
    if not update(LoginCode, {"id": code.pk, "token_digest": digest, "used_at": None}, **used):
        raise _OthersWereFaster
    name = str(user)
    account_changed.send(_use, actor=name, action="login-code-used", name=name)


def unused(users: QuerySet[User]) -> list[LoginCode]:
    """Their codes that are still worth something, and that a new one would end."""
    codes = LoginCode.objects.filter(user__in=users.order_by().values("pk"), used_at=None)
    valid = codes.filter(expires_at__gt=timezone.now())
    return list(valid.select_related("user").order_by("user__username"))


def end(user: User) -> None:
    """The user's code is worth nothing any more."""
    LoginCode.objects.filter(user=user).delete()
