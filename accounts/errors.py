"""What is refused because of who asks."""

from typing import ClassVar

from foundation.problems import Problem

CHALLENGE = 'Bearer realm="telerun"'  # RFC 6750


class NotAuthenticated(Problem):
    """Send the header 'Authorization: Bearer TOKEN'."""

    status = 401
    slug = "not-authenticated"
    title = "Not authenticated"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": CHALLENGE}


class InvalidToken(Problem):
    """The token is not accepted."""

    status = 401
    slug = "invalid-token"
    title = "Invalid token"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": CHALLENGE}


class UnknownToken(InvalidToken):
    """The token is nobody's."""


class TooManyWrongTokens(Problem):
    """The token is wrong, and so were many before it."""

    status = 429
    slug = "too-many-wrong-tokens"
    title = "Too many wrong tokens"


class WrongTokenKind(Problem):
    """This address does not take this kind of token."""

    status = 403
    slug = "wrong-token-kind"
    title = "Wrong token kind"


class LoginCodeRefused(Problem):
    """The log-in code is not accepted."""

    status = 403
    slug = "login-code-refused"


class UnknownLoginCode(LoginCodeRefused):
    """This is no log-in code of this queue: it is mistyped, or a newer one took its place."""

    title = LoginCodeRefused.title


class WrongUser(Problem):
    """The token is another user's."""

    status = 403
    slug = "wrong-user"
