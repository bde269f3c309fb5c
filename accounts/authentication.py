"""`Authorization: Bearer TOKEN` (RFC 6750) for users and executors alike."""

import secrets
import unicodedata
from urllib.parse import unquote

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts import failures, login_codes, tokens
from accounts.errors import CHALLENGE, InvalidToken, UnknownToken, WrongUser
from accounts.models import Executor, User
from foundation.database.statements import Parameter, Select

Bearer = User | Executor
_SHOWN_NAME = 150

_DIGEST = Parameter("digest")
_USERS = Select(
    User.objects.filter(token_digest=_DIGEST).only("username", "is_active", "token_digest")
)
_EXECUTORS = Select(Executor.objects.filter(token_digest=_DIGEST).order_by())


class BearerAuthentication(BaseAuthentication):
    """Sets `request.user` to the User or the Executor whose token the request carries.

    Raises InvalidToken (401), TooManyWrongTokens (429) and WrongUser (403), in words that never
    repeat the token.
    """

    def authenticate(self, request: Request) -> tuple[Bearer, None] | None:
        scheme, _, credentials = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            bearer = bearer_of(credentials.strip().decode("latin-1"))
        except UnknownToken as error:
            raise failures.count_wrong_token(request, error) from None
        refuse_another_name(bearer, request.headers.get("Telerun-User"))
        return bearer, None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def bearer_of(token: str) -> Bearer:
    """The active User or Executor that `token` belongs to; InvalidToken if none."""
    if not tokens.is_well_formed(token):
        raise UnknownToken(
            "This is not a Telerun token: it is mistyped or cut off. "
            "Copy it whole, or ask the course staff for a new one."
        )
    is_users = token.startswith(tokens.USER_PREFIX)
    bearer = _find(_USERS if is_users else _EXECUTORS, token)
    if bearer is None and is_users:
        # And once more: another request may have been the first to use it.
        bearer = login_codes.user_of_new_token(tokens.digest(token)) or _find(_USERS, token)
    if bearer is None:
        raise UnknownToken(
            "The token is unknown: it was replaced or revoked. Ask the course staff for a new one."
        )
    if not bearer.is_active:
        raise InvalidToken("This account is disabled. Ask the course staff.")
    return bearer


def refuse_another_name(bearer: Bearer, sent: str | None) -> None:
    """Raises WrongUser where a client says whose token it believes to have, and is wrong.

    The name is percent-encoded. How a name is written, in capitals or not, is no other user's name.
    """
    if sent is None or not isinstance(bearer, User):
        return
    name = unquote(sent)
    if _as_compared(name) != _as_compared(bearer.username):
        raise WrongUser(
            f"The token is that of {bearer.username}, and the username beside it is "
            f"{name[:_SHOWN_NAME]}: one of them is somebody else's."
        )


def _as_compared(name: str) -> str:
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def _find(bearers: Select[User] | Select[Executor], token: str) -> Bearer | None:
    digest = tokens.digest(token)
    bearer = bearers.first(digest=digest)
    if bearer is None or not secrets.compare_digest(bearer.token_digest, digest):
        return None
    return bearer
