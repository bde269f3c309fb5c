"""People of every kind, in browsers of their own; and what the database holds."""

import functools
import time
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import roles, second_factor, sessions
from accounts.models import User
from accounts.roles import Role
from tests.support.admin import browser

# From those who may least to those who may most.
PEOPLE = (
    "anonymous", "student", "staff without a role", "viewer", "ta", "head-ta", "owner", "superuser",
)  # fmt: skip
NOBODY = len(PEOPLE)
PASSWORD = "correct horse battery"


def member(name: str, role: Role | None, password: str = "") -> User:
    """Somebody of that role; None: a student. Without a password only the test logs in."""
    user = User.objects.create(username=name, password=_hashed(password or None))
    roles.assign(user, role)
    return user


@functools.cache
def _hashed(password: str | None) -> str:
    """Hashing takes a third of a second."""
    return make_password(password)


def person(kind: str) -> Client:
    """A browser of one of PEOPLE."""
    if kind == "anonymous":
        return browser(None)
    if kind == "staff without a role":
        return browser(User.objects.create_user("me", is_staff=True))
    if kind == "superuser":
        return browser(User.objects.create_user("me", is_staff=True, is_superuser=True))
    return browser(member("me", None if kind == "student" else Role(kind)))


def refused(answer: Any) -> bool:
    """403, or the way to the log-in."""
    if answer.status_code == 302:
        return answer["Location"].startswith("/admin/login/")
    return answer.status_code == 403


# What a request leaves behind whoever makes it.
PASSING = ("django_session", "accounts_failurecount", "django_admin_log")


def everything() -> dict[str, list[Any]]:
    """Every row of every table."""
    with connection.cursor() as cursor:
        rows = {}
        for table in connection.introspection.table_names(cursor):
            if table not in PASSING:
                cursor.execute(f'SELECT * FROM "{table}"')
                rows[table] = sorted(map(repr, cursor.fetchall()))
    return rows


def make_stale(client: Client) -> None:
    """The password was given a while ago."""
    session = client.session
    session["telerun_proved"] = time.time() - sessions.FRESH_SECONDS - 1
    session.save()


def enrol(user: User) -> list[str]:
    """Puts the second factor on; gives the recovery codes."""
    second_factor.begin(user)
    device = TOTPDevice.objects.get(user=user)
    codes = second_factor.confirm(user, code_of(device, -1))
    assert len(codes) == 10
    user.refresh_from_db()
    return codes


def code_of(device: TOTPDevice, later: int = 0) -> str:
    """What the phone's app shows, so many steps of 30 seconds later."""
    return f"{totp(device.bin_key, t0=-30 * later):06d}"


def code(user: User, later: int = 0) -> str:
    return code_of(TOTPDevice.objects.get(user=user), later)
