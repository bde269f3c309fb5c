"""The roles: what they hold, how they are given, and that an owner is left."""

import importlib
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from accounts import operations, roles
from accounts.models import User
from accounts.roles import Role
from jobs.models import AuditEntry
from telerun_site import rights
from tests.support.admin import JOBS, USERS, browser, told
from tests.support.roles import PASSWORD, everything, member

pytestmark = pytest.mark.django_db


def held(role: Role) -> set[str]:
    rows = Permission.objects.filter(group__name=role.label).select_related("content_type")
    return {f"{row.content_type.app_label}.{row.codename}" for row in rows}


def test_the_groups_hold_what_the_table_says() -> None:
    for role, names in rights.TABLE.items():
        assert held(role) == set(names), "each name is a permission that there is"
    assert held(Role.OWNER) == roles.known_permissions(rights.PACKAGES)
    others = set().union(*rights.TABLE.values())
    assert set(rights.OWNERS_ALONE) <= held(Role.OWNER) - others


def test_what_somebody_added_by_hand_or_took_away_is_made_good() -> None:
    group = Group.objects.get(name="TA")
    group.permissions.add(Permission.objects.get(codename="manage_staff"))
    group.permissions.remove(Permission.objects.get(codename="change_job"))
    Group.objects.get(name="viewer").delete()
    rights.keep()
    test_the_groups_hold_what_the_table_says()
    before = everything()
    rights.keep()
    assert everything() == before


def test_a_group_of_that_name_from_before_keeps_what_it_had(alice: User) -> None:
    Group.objects.all().delete()
    old = Group.objects.create(name="TA")
    old.permissions.add(Permission.objects.get(codename="change_user"))
    alice.groups.add(old)
    importlib.import_module("accounts.migrations.0007_roles").make(apps, None)
    rights.keep()
    assert alice.has_perm("accounts.change_user")
    assert not alice.has_perm("jobs.view_job")
    assert roles.role_of(User(is_staff=True, pk=alice.pk)) is None


def test_whoever_could_stop_bulk_actions_still_can(alice: User) -> None:
    alice.user_permissions.add(Permission.objects.get(codename="change_job"))
    migration = importlib.import_module("jobs.migrations.0008_export_audit")
    migration.keep_stopping(apps, None)
    assert alice.has_perm("jobs.change_bulkaction")


def test_staff_from_before_keep_what_they_had(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.refresh_from_db()
    alice.user_permissions.add(Permission.objects.get(codename="view_job"))
    assert roles.title_of(alice) == "staff with permissions of their own"
    client = browser(alice)
    assert client.get(JOBS).status_code == 200
    assert client.get(USERS).status_code == 403
    owner = browser(member("prof", Role.OWNER))
    page = f"{USERS}{alice.pk}/change/"
    assert "staff with permissions of their own" in owner.get(page).content.decode()
    same = {"username": "alice", "is_active": "on", "role": "own", "first_name": "Al"}
    assert owner.post(page, same).status_code == 302
    alice.refresh_from_db()
    assert alice.user_permissions.count() == 1
    assert owner.post(page, {**same, "role": "ta"}).status_code == 302
    entry = AuditEntry.objects.get(action="role-changed")
    assert entry.request["before"] == {"role": "staff with permissions of their own"}
    assert entry.request["after"] == {"role": "TA"}
    assert not alice.user_permissions.exists()


def test_with_the_right_to_change_users_alone_nobody_becomes_more(alice: User, bob: User) -> None:
    """T5: staff with only this right made a student superuser and set the professor's password."""
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    bob.user_permissions.add(*Permission.objects.filter(codename__endswith="_user").exclude(
        codename__in=("manage_staff", "purge_user")))  # fmt: skip
    prof = member("prof", Role.OWNER, PASSWORD)
    client = browser(User.objects.get(pk=bob.pk))
    for user in (alice, prof, bob):
        page = f"{USERS}{user.pk}/"
        client.post(f"{page}change/", {
            "username": user.username, "is_active": "on", "is_staff": "on", "is_superuser": "on",
            "role": "owner",
        })  # fmt: skip
        assert client.get(f"{page}password/").status_code == 403
        new = {"password1": "a new password", "password2": "a new password"}
        assert client.post(f"{page}password/", {**new, "set-password": "1"}).status_code == 403
    assert [user.username for user in roles.owners()] == ["prof"]
    assert User.objects.get(pk=prof.pk).check_password(PASSWORD)
    assert not User.objects.get(pk=alice.pk).is_staff


def test_an_owner_gives_and_takes_a_role(alice: User) -> None:
    client = browser(member("prof", Role.OWNER))
    page = f"{USERS}{alice.pk}/change/"
    before = "student"
    for role in ("viewer", "ta", "head-ta", "owner", "student"):
        answer = client.post(page, {"username": "alice", "is_active": "on", "role": role})
        assert answer.status_code == 302, answer.context["errors"]
        user = User.objects.get(pk=alice.pk)
        title = roles.title_of(user)
        assert user.is_staff == (role != "student")
        assert not user.is_superuser
        changed = AuditEntry.objects.filter(action="role-changed").first()
        assert (changed.username, changed.request["name"]) == ("prof", "alice")
        assert changed.request["before"] == {"role": before}
        assert changed.request["after"] == {"role": title}
        before = title
    assert not alice.groups.exists()


@pytest.mark.parametrize("role", ["root", "own", "0"])
def test_a_role_that_there_is_not(role: str, alice: User) -> None:
    client = browser(member("prof", Role.OWNER))
    before = everything()
    page = f"{USERS}{alice.pk}/change/"
    answer = client.post(page, {"username": "alice", "is_active": "on", "role": role})
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert everything() == before


# --- The last owner ----------------------------------------------------------------------

ENDS: dict[str, dict[str, str]] = {
    "another role": {"username": "prof", "is_active": "on", "role": "ta"},
    "no staff": {"username": "prof", "is_active": "on", "role": "student"},
    "inactive": {"username": "prof", "role": "owner"},
}


@pytest.mark.parametrize("superuser", [False, True])
@pytest.mark.parametrize("password", ["", PASSWORD])
@pytest.mark.parametrize("end", [*ENDS, "deleted"])
def test_the_last_owner_stays(end: str, password: str, superuser: bool) -> None:
    prof = member("prof", Role.OWNER, password)
    if superuser:
        prof.groups.clear()
        User.objects.filter(pk=prof.pk).update(is_superuser=True)
    member("tina", Role.HEAD_TA, password)
    gone = member("gone", Role.OWNER, password)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    client = browser(User.objects.get(pk=prof.pk))
    before = everything()
    if end == "deleted":
        answer = client.post(f"{USERS}{prof.pk}/delete/", {"post": "yes"})
        said = told(answer)[-1]
    else:
        answer = client.post(f"{USERS}{prof.pk}/change/", ENDS[end])
        said = answer.content.decode()
    assert "is the last owner who can log in" in said
    assert everything() == before


@pytest.mark.parametrize("end", [*ENDS, "deleted"])
def test_one_of_two_owners_may_go(end: str) -> None:
    prof = member("prof", Role.OWNER, PASSWORD)
    client = browser(member("other", Role.OWNER, PASSWORD))
    if end == "deleted":
        client.post(f"{USERS}{prof.pk}/delete/", {"post": "yes"})
    else:
        client.post(f"{USERS}{prof.pk}/change/", ENDS[end])
    assert [user.username for user in roles.owners()] == ["other"]


def test_an_owner_who_cannot_log_in_is_none_to_rely_on() -> None:
    prof = member("prof", Role.OWNER, PASSWORD)
    member("without-password", Role.OWNER)
    with pytest.raises(ValidationError, match="last owner who can log in"):
        operations.set_role(prof, Role.TA, "prof")


# --- The command -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # a command closes its connection
@pytest.mark.parametrize("role", [None, *Role])
def test_create_staff(role: Role | None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--role", role.value] if role else []
    call_command("telerun_auth", "create-staff", "tina", *words)
    password = capsys.readouterr().out.split()[-1]
    user = User.objects.get(username="tina")
    assert user.check_password(password)
    assert roles.role_of(user) == (role or Role.OWNER)
    entry = AuditEntry.objects.get(action="staff-created")
    assert entry.request["after"] == {"role": (role or Role.OWNER).label}


@pytest.mark.django_db(transaction=True)  # a command closes its connection
def test_create_staff_with_no_such_role() -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("telerun_auth", "create-staff", "tina", "--role", "root")
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)  # a command closes its connection
def test_the_command_keeps_the_last_owner() -> None:
    member("prof", Role.OWNER, PASSWORD)
    with pytest.raises(CommandError, match="last owner"):
        call_command("telerun_auth", "delete-user", "prof")
    assert User.objects.filter(username="prof").exists()


def test_the_list_says_who_is_what() -> None:
    client = browser(member("prof", Role.OWNER))
    member("tina", Role.HEAD_TA)
    text: Any = client.get(USERS).content.decode()
    assert '<td class="field-role_now">head TA</td>' in text
