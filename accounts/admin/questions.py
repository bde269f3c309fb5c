"""What staff are asked before they issue or revoke tokens."""

from hashlib import sha256
from typing import Any

from django.http import HttpRequest

from accounts.models import Executor, LoginCode, User
from foundation import asking
from foundation.asking import Question

MOST_NAMES = 20  # of students; staff and executors are all named
_TITLES = {"issue_token": "Issue new tokens for", "revoke_token": "Revoke the tokens of"}
_ONE = {"issue_token": "Issue a new token for", "revoke_token": "Revoke the token of"}
_CODES_END = "Whoever was given one of these, and has not used it yet, cannot log in with it."
_ISSUED_SINCE = (
    "New tokens were issued since this page was made, by somebody else or by loading the page "
    "of the tokens again. Go on, and those no longer work."
)


def about_tokens(request: HttpRequest, action: str, bearers: list[Any]) -> Question:
    """Whose tokens end. Several are confirmed by typing how many they are."""
    count = len(bearers)
    plural = bearers[0]._meta.verbose_name_plural
    title = f"{_TITLES[action]} {count:,} {plural}"
    if count == 1:
        title = f"{_ONE[action]} {bearers[0]}"
    with_token = [bearer for bearer in bearers if bearer.token_digest]
    return Question(
        title,
        count,
        facts=(*_who(bearers), ("Tokens that no longer work", f"{len(with_token):,}")),
        warnings=_warnings(action, with_token),
        must_type=count > 1,
        error=_ISSUED_SINCE if action == "issue_token" and _issued_since(request, bearers) else "",
    )


def about_codes(users: list[User], lost: list[LoginCode]) -> Question:
    """Whose codes end that nobody has used yet: they may have been mailed. Asked again when others
    were made since, as by loading the page of the codes again."""
    count = len(users)
    ended = f"{len(lost):,}: {named([code.user for code in lost])}"
    return Question(
        f"Make log-in codes for {count:,} users"
        if count > 1
        else f"Make a log-in code for {users[0]}",
        count,
        facts=(*_who(users), *((("Codes that no longer work", ended),) if lost else ())),
        warnings=(_CODES_END,) if lost else (),
        must_type=count > 1,
        state=sha256(repr([code.digest for code in lost]).encode()).hexdigest(),
    )


def about_purging(users: list[User]) -> Question:
    """Who is forgotten: one person, confirmed by their name."""
    if len(users) != 1:
        why = "Purge one person at a time: choose one, and nobody else."
        return Question("Purge a person", len(users), error=why)
    user = users[0]
    return Question(
        f"Purge {user}",
        1,
        facts=(
            ("Who", ", ".join(filter(None, (user.username, user.get_full_name(), user.email)))),
            ("What goes", "name, e-mail, log-ins, programs, output, files; in the audit log, too"),
            ("What stays", "times and outcomes of the jobs, under a pseudonym"),
        ),
        warnings=(
            "This cannot be taken back. What runs or waits of theirs is cancelled first.",
            "Backups that were made before still hold this person.",
        ),
        word=user.username,
    )


def _who(bearers: list[Any]) -> list[tuple[str, str]]:
    """Students, staff and executors apart."""
    users = [bearer for bearer in bearers if isinstance(bearer, User)]
    kinds = {
        "Students": [user for user in users if not user.is_staff],
        "Staff": [user for user in users if user.is_staff],
        "Executors": [bearer for bearer in bearers if isinstance(bearer, Executor)],
    }
    most = {"Students": MOST_NAMES}
    return [
        (kind, f"{len(some):,}: {named(some, most.get(kind))}")
        for kind, some in kinds.items()
        if some
    ]


def named(bearers: list[Any], most: int | None = MOST_NAMES) -> str:
    """How many they are and what they are called, so many of them."""
    names = ", ".join(str(bearer) for bearer in bearers[:most]) or "none"
    more = len(bearers) - (most or len(bearers))
    return names + (f" and {more:,} more" if more > 0 else "")


def _warnings(action: str, with_token: list[Any]) -> tuple[str, ...]:
    warnings = []
    if any(isinstance(bearer, User) and bearer.is_staff for bearer in with_token):
        warnings.append("There are staff among them.")
    if hosts := [bearer.name for bearer in with_token if isinstance(bearer, Executor)]:
        anew = "" if action == "issue_token" else "a new token is issued, "
        warnings.append(
            f"No job runs on {', '.join(hosts)} until {anew}auth.json is replaced on the host "
            "and the executor is started again there."
        )
    return tuple(warnings)


def _issued_since(request: HttpRequest, bearers: list[Any]) -> bool:
    """Whether one of them got a token after the question was shown that is being answered."""
    if "confirmed" not in request.POST:
        return False
    shown_at = asking.shown_at(request)
    issued = [bearer.token_issued_at for bearer in bearers if bearer.token_issued_at]
    return shown_at is None or any(moment > shown_at for moment in issued)


def about_second_factors(users: list[User]) -> Question:
    """Who can log in with the password alone, once that is done."""
    count = len(users)
    whom = str(users[0]) if count == 1 else f"{count:,} users"
    return Question(
        f"Remove the second factor of {whom}",
        count,
        facts=tuple(_who(users)),
        warnings=(
            "The password alone is enough then. Make sure that it is your colleague who asks.",
        ),
        must_type=count > 1,
    )
