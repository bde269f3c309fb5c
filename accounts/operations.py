"""What is done to accounts: the commands and the admin call these, so each is recorded.

Every function takes `actor`, the name of who does it, for the audit log.
"""

import secrets
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models.expressions import Combinable

from accounts import login_codes, roles
from accounts.models import Executor, User
from accounts.public_address import PublicAddress
from accounts.roles import Role
from accounts.signals import account_changed
from foundation.acting import acting, now
from foundation.hooks import Hook


def create_user(name: str, actor: str, **person: str) -> tuple[User, str]:
    """A student's account and its token; `person`: email, first_name, last_name.

    Raises ValidationError for a bad or taken name, and for an e-mail address that is none.
    """
    user = User(username=name, **person)
    user.set_unusable_password()
    return user, _create(user, "user-created", actor)


@transaction.atomic
def create_user_with_code(
    name: str, actor: str, address: PublicAddress, days: int | None = None
) -> tuple[User, str]:
    """A student's account without a token, and its log-in code. Raises ValidationError."""
    user = User(username=name)
    user.set_unusable_password()
    user.full_clean()
    user.save()
    _record("user-created", user, actor)
    return user, login_codes.make(user, actor, address, days)


def create_executor(name: str, actor: str) -> tuple[Executor, str]:
    """An executor and its token. Raises ValidationError for a bad or taken name."""
    executor = Executor(name=name)
    return executor, _create(executor, "executor-created", actor)


def create_staff(name: str, actor: str, role: Role = Role.OWNER) -> tuple[User, str]:
    """A staff account with a random password, returned once. Raises ValidationError."""
    password = secrets.token_urlsafe(16)
    user = User(username=name)
    user.set_password(password)
    user.full_clean()
    with transaction.atomic():
        user.save()
        roles.assign(user, role)
        _record("staff-created", user, actor, after={"role": str(role.label)})
    return user, password


@transaction.atomic
def set_role(user: User, role: Role | None, actor: str) -> None:
    """Makes the user that, with no permission besides; None: a student. The user's sessions end.

    Raises ValidationError if the last owner would be none any more.
    """
    before = roles.title_of(user)
    if role == roles.role_of(user) and (role or not user.is_staff):
        return
    if role != Role.OWNER:
        roles.refuse_last_owner(user, "given another role")
    roles.assign(user, role)
    user.end_sessions()
    after = roles.title_of(user)
    _record("role-changed", user, actor, before={"role": before}, after={"role": after})


@transaction.atomic
def issue_token(bearer: User | Executor, actor: str) -> str:
    """A new token for `bearer`; the one before it is revoked by that, and so is a log-in code."""
    token = bearer.issue_token()
    _end_login_code(bearer)
    _record("token-issued", bearer, actor)
    return token


@transaction.atomic
def revoke_token(bearer: User | Executor, actor: str) -> None:
    """Takes the token of `bearer` away, and the log-in code."""
    bearer.revoke_token()
    _end_login_code(bearer)
    _record("token-revoked", bearer, actor)


@transaction.atomic
def set_enabled(executor: Executor, enabled: bool, actor: str) -> None:
    """Takes an executor out of service, or back into it."""
    executor.enabled = enabled
    action = "executor-enabled" if enabled else "executor-disabled"
    with acting(actor, now().address):
        executor.save_as(action, update_fields=["enabled"])


# Whether a user has something that must stay, so that the account is made inactive instead.
has_belongings: Hook[Callable[[User], bool]] = Hook("the look at a user's belongings")


# How many bytes are kept of each user, as an expression for a query of users.
kept_bytes: Hook[Combinable] = Hook("what is kept of a user")
# Where in the admin the list of a user's jobs is, by the user's key.
jobs_address: Hook[Callable[[int], str]] = Hook("where a user's jobs are")


@transaction.atomic
def delete(bearer: User | Executor, actor: str) -> None:
    """Deletes the account and what belongs to it. The audit log keeps what was recorded.

    Raises ValidationError for the last owner.
    """
    kind = "user" if isinstance(bearer, User) else "executor"
    if isinstance(bearer, User):
        roles.refuse_last_owner(bearer, "deleted")
    name = str(bearer)
    bearer.delete()
    account_changed.send(delete, actor=actor, action=f"{kind}-deleted", name=name)


def _end_login_code(bearer: User | Executor) -> None:
    if isinstance(bearer, User):
        login_codes.end(bearer)


@transaction.atomic
def _create(bearer: User | Executor, action: str, actor: str) -> str:
    bearer.full_clean()
    bearer.save()
    token = bearer.issue_token()
    _record(action, bearer, actor)
    return token


def _record(action: str, bearer: User | Executor, actor: str, **more: Any) -> None:
    account_changed.send(_record, actor=actor, action=action, name=str(bearer), **more)
