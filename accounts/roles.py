"""What staff may do: four roles, each a Django group (docs/adr/0033).

Which permissions a role has stands in one table, at the roof, which knows all packages. They are
made exact after every migration and when a server starts.
"""

from collections.abc import Iterable, Mapping

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import User

MANAGE_STAFF = "accounts.manage_staff"  # what makes an owner: nobody else has it


class Role(models.TextChoices):
    """From the least to the most. The label is the group's name, the value what commands take."""

    VIEWER = "viewer", "viewer"
    TA = "ta", "TA"
    HEAD_TA = "head-ta", "head TA"
    OWNER = "owner", "owner"


def role_of(user: User) -> Role | None:
    """None for a student, and for staff with permissions of their own, from before the roles."""
    if not user.is_staff:
        return None
    if user.is_superuser:
        return Role.OWNER
    groups = {group.name for group in user.groups.all()}
    return next((role for role in reversed(Role) if role.label in groups), None)


def title_of(user: User) -> str:
    """The role in words."""
    role = role_of(user)
    if role:
        return str(role.label)
    return "staff with permissions of their own" if user.is_staff else "student"


def is_owner(request: HttpRequest) -> bool:
    """Whether who asks may touch staff, passwords, and the second factor's policy."""
    return request.user.has_perm(MANAGE_STAFF)


def is_protected(user: User) -> bool:
    """Whether only an owner may touch the user."""
    return user.is_staff or user.is_superuser


PROTECTED = Q(is_staff=True) | Q(is_superuser=True)


_WITHOUT_PASSWORD = Q(password="") | Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)


# --- Owners ------------------------------------------------------------------------------


def owners() -> QuerySet[User]:
    """Those who are active."""
    is_one = Q(is_superuser=True) | Q(groups__name=Role.OWNER.label)
    return User.objects.filter(is_one, is_staff=True, is_active=True).distinct()


def take_turns() -> None:
    """Waits for whoever else takes an account away, or a role, until that transaction ends. Before
    any user's row is locked, or two wait for each other."""
    Group.objects.select_for_update().filter(name=Role.OWNER.label).first()


def refuse_last_owner(user: User, what: str) -> None:
    """Raises ValidationError if nobody would be left who can appoint staff.

    Call it in the transaction that does `what`: of two at once, one waits for the other.
    """
    take_turns()
    if not owners().filter(pk=user.pk).exists():
        return
    others = owners().exclude(pk=user.pk)
    if user.has_usable_password():  # somebody must be able to log in
        others = others.exclude(_WITHOUT_PASSWORD)
    if not others.exists():
        raise ValidationError(
            f"{user} is the last owner who can log in, and so cannot be {what}. "
            "Make somebody else an owner first."
        )


# --- Groups ------------------------------------------------------------------------------


@transaction.atomic
def assign(user: User, role: Role | None) -> None:
    """Gives the user that role and nothing besides; None: no staff any more."""
    user.is_staff = role is not None
    user.is_superuser = False
    # Not by `save`, which would record it once more: who calls this records the role.
    User.objects.filter(pk=user.pk).update(is_staff=user.is_staff, is_superuser=False)
    user.groups.set(Group.objects.filter(name=role.label) if role else [])
    user.user_permissions.clear()


@transaction.atomic
def keep(permissions: Mapping[Role, Iterable[str]]) -> None:
    """Makes the groups' permissions those ("app.codename") of the table."""
    known = _all_permissions()
    for role, names in permissions.items():
        group = Group.objects.get_or_create(name=role.label)[0]
        # One that is not known yet is made by a later migration.
        wanted = {known[name] for name in names if name in known}
        if wanted != {*group.permissions.values_list("pk", flat=True)}:
            group.permissions.set(wanted)


def are_there() -> bool:
    """Whether the groups were made."""
    return Group.objects.filter(name__in=[role.label for role in Role]).count() == len(Role)


def known_permissions(packages: Iterable[str]) -> set[str]:
    """All of these packages, as "app.codename"."""
    return {name for name in _all_permissions() if name.partition(".")[0] in packages}


def _all_permissions() -> dict[str, int]:
    rows = Permission.objects.select_related("content_type").order_by()
    return {f"{row.content_type.app_label}.{row.codename}": row.pk for row in rows}
