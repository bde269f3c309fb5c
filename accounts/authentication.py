"""`Authorization: Bearer TOKEN` (RFC 6750) for users and executors alike."""

import secrets

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts import failures, tokens
from accounts.errors import CHALLENGE, InvalidToken, UnknownToken
from accounts.models import Executor, User
from foundation.database.statements import Parameter, Select

Bearer = User | Executor

_DIGEST = Parameter("digest")
_USERS = Select(
    User.objects.filter(token_digest=_DIGEST).only("username", "is_active", "token_digest")
)
_EXECUTORS = Select(Executor.objects.filter(token_digest=_DIGEST).order_by())


class BearerAuthentication(BaseAuthentication):
    """Sets `request.user` to the User or the Executor whose token the request carries.

    Raises InvalidToken (401) and TooManyWrongTokens (429), in words that never repeat the token.
    """

    def authenticate(self, request: Request) -> tuple[Bearer, None] | None:
        scheme, _, credentials = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            return bearer_of(credentials.strip().decode("latin-1")), None
        except UnknownToken as error:
            raise failures.count_wrong_token(request, error) from None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def bearer_of(token: str) -> Bearer:
    """The active User or Executor that `token` belongs to; InvalidToken if none."""
    if not tokens.is_well_formed(token):
        raise UnknownToken(
            "This is not a Telerun token: it is mistyped or cut off. "
            "Copy it whole, or ask the course staff for a new one."
        )
    bearer = _find(_USERS if token.startswith(tokens.USER_PREFIX) else _EXECUTORS, token)
    if bearer is None:
        raise UnknownToken(
            "The token is unknown: it was replaced or revoked. Ask the course staff for a new one."
        )
    if not bearer.is_active:
        raise InvalidToken("This account is disabled. Ask the course staff.")
    return bearer


def _find(bearers: Select[User] | Select[Executor], token: str) -> Bearer | None:
    digest = tokens.digest(token)
    bearer = bearers.first(digest=digest)
    if bearer is None or not secrets.compare_digest(bearer.token_digest, digest):
        return None
    return bearer
