"""A person is forgotten: what the accounts know of them. The rest, and the order of it, is in the
package above, which registers itself here (docs/adr/0034)."""

import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import models

from accounts import failures, roles
from accounts.logins import UNKNOWN
from accounts.models import PURGED, RESERVED_NAMES, Turn, User
from foundation.hooks import Hook

_KEPT_OF_USER = ("id", "username", "date_joined", "last_turn")


class Unfinished(Exception):
    """The person is not forgotten yet: it is to be done again. The message says why."""


class Purged(NamedTuple):
    """What became of a person."""

    pseudonym: str
    words: str  # what was done
    notes: list[str]  # what is still to be done by hand


# Forgets the person of a name; given the name, and who asks for it. Raises ValidationError and
# Unfinished.
purge: Hook[Callable[[str, str], Purged]] = Hook("the purge of a person")

# Whether the purge of that name, or pseudonym, was begun and not ended.
is_begun: Hook[Callable[[str], bool]] = Hook("the look at purges")

# Models whose rows stay, as those of the pseudonym: nothing in them says who it was.
_stay: set[type[models.Model]] = {Turn}


def keep(model: type[models.Model]) -> None:
    """Its rows stay when their user is forgotten; whose they are says the user's key."""
    _stay.add(model)


def pseudonym() -> str:
    """A random one: of a name's hash it could be guessed from a roster whose it is."""
    return PURGED + secrets.token_hex(8)


def refuse(name: str, actor: str) -> None:
    """Raises ValidationError for a name that is no person's, or one's own."""
    if name.lower() in (*RESERVED_NAMES, UNKNOWN) or name.startswith((PURGED, "executor:")):
        raise ValidationError(f"{name!r} is no person's name.")
    if name == actor:
        raise ValidationError("You cannot purge yourself: your name would be in the entry of it.")


def forget(user: User, instead: str) -> None:
    """The user's row gets another name and nothing else, and nobody can log in as it; rows that
    refer to it go, or no longer refer to it. In the caller's transaction.

    Raises ValidationError for the last owner.
    """
    roles.refuse_last_owner(user, "purged")
    _end_sessions(user)
    failures.forget([user.username], [])
    of_users = ContentType.objects.get_for_model(User)
    LogEntry.objects.filter(content_type=of_users, object_id=str(user.pk)).delete()
    for model, field in _referring():
        rows = model._base_manager.filter(**{field.name: user.pk})
        if model not in _stay:
            _ = rows.update(**{field.name: None}) if field.null else rows.delete()
    for many in User._meta.many_to_many:
        getattr(user, many.name).clear()
    User._base_manager.filter(pk=user.pk).update(
        **{field.attname: _empty(field) for field in _forgotten_fields()},
        username=instead,
        password="!",  # noqa: S106  (one that nothing matches)
        is_active=False,
    )


def _forgotten_fields() -> Iterable[Any]:
    told = (*_KEPT_OF_USER, "password", "is_active")
    return (field for field in User._meta.concrete_fields if field.name not in told)


def _empty(field: Any) -> Any:
    return None if field.null else field.get_default()


def _referring() -> Iterable[tuple[type[models.Model], Any]]:
    """Every foreign key to users, in whichever package: what is added later is found as well."""
    for relation in User._meta.get_fields(include_hidden=True):
        is_other_end = relation.auto_created and not relation.concrete
        if is_other_end and (relation.one_to_many or relation.one_to_one):
            yield relation.related_model, relation.field


def _end_sessions(user: User) -> None:
    """The admin's, which hold whose they are in what is signed."""
    for session in Session.objects.all():
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()
