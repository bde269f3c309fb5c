"""Staff's second factor: a code of a phone's app after the password (docs/adr/0033).

django-otp makes and checks the codes. A code counts once; so does each of the ten recovery codes,
of which only digests are stored. Whoever asks for a code counts the wrong ones
(accounts/failures.py).
"""

import hashlib
import io
import re
import secrets
from base64 import b32encode
from datetime import datetime
from typing import Any

import qrcode
from django.db import transaction
from django.db.models import QuerySet
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from qrcode.image.svg import SvgPathFillImage

from accounts import roles
from accounts.models import SecondFactorPolicy, User
from accounts.signals import account_changed

RequiredOf = SecondFactorPolicy.RequiredOf
RECOVERY_CODES = 10
_POLICY = 1  # the row; there is no other
_DIGEST_LENGTH = 16  # what a StaticToken holds: 64 bits


# --- Who must have one -------------------------------------------------------------------


def required_of() -> RequiredOf:
    """The owners' policy."""
    row = SecondFactorPolicy.objects.filter(pk=_POLICY).first()
    return RequiredOf(row.required_of) if row else RequiredOf.NOBODY


@transaction.atomic
def require_of(whom: RequiredOf, actor: str) -> None:
    """Sets the policy. Those who have no second factor are led to one with their next click."""
    before = required_of()
    if whom != before:
        SecondFactorPolicy(pk=_POLICY, required_of=whom).save()
        told = {"before": {"required of": before.label}, "after": {"required of": whom.label}}
        _record("second-factor-policy-changed", "second factor", actor, **told)


def is_missing(user: User) -> bool:
    """Whether the user must have one and has none."""
    whom = required_of()
    if whom == RequiredOf.NOBODY:
        return False
    must = whom == RequiredOf.STAFF or roles.role_of(user) == roles.Role.OWNER
    return must and not is_on(user)


def is_on(user: User) -> bool:
    """Whether a code is asked for after the user's password."""
    return _phones(user).exists()


def since(user: User) -> datetime | None:
    """Since when it is on."""
    phone = _phones(user).first()
    return phone.created_at if phone else None


def without_one() -> QuerySet[User]:
    """Staff who must have one and have none."""
    whom = required_of()
    if whom == RequiredOf.NOBODY:
        return User.objects.none()
    staff = User.objects.filter(is_staff=True, is_active=True)
    who = staff if whom == RequiredOf.STAFF else roles.owners()
    return who.exclude(pk__in=_all_phones().values("user")).order_by("username")


# --- Setting it up -----------------------------------------------------------------------


@transaction.atomic
def begin(user: User, *, anew: bool = False) -> TOTPDevice:
    """The secret for the user's app. It counts for nothing before `confirm`. `anew`: not the one
    that was begun before."""
    _lock(user)
    begun = TOTPDevice.objects.filter(user=user, confirmed=False)
    if anew:
        begun.delete()
    return begun.first() or TOTPDevice.objects.create(user=user, name="phone", confirmed=False)


def secret_of(device: TOTPDevice) -> str:
    """For typing into an app, in groups of four."""
    return " ".join(re.findall(".{4}", b32encode(device.bin_key).decode()))


def picture_of(device: TOTPDevice) -> bytes:
    """The QR code, an SVG with a white ground."""
    file = io.BytesIO()
    qrcode.make(device.config_url, image_factory=SvgPathFillImage).save(file)
    return file.getvalue()


@transaction.atomic
def confirm(user: User, code: str) -> list[str]:
    """Puts the second factor on if the code is that of the pending secret; gives the recovery
    codes, once. An empty list: the code is wrong."""
    _lock(user)
    device = TOTPDevice.objects.filter(user=user, confirmed=False).first()
    if device is None or not device.verify_token(_plain(code)):
        return []
    _phones(user).delete()
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    user.end_sessions()
    codes = _new_recovery_codes(user)
    _record("second-factor-added", str(user), str(user))
    return codes


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Ten new ones, in place of those before."""
    _lock(user)
    codes = _new_recovery_codes(user)
    _record("recovery-codes-made", str(user), str(user))
    return codes


def recovery_codes_left(user: User) -> int:
    """How many were not used yet."""
    return StaticToken.objects.filter(device__user=user).count()


@transaction.atomic
def remove(user: User, actor: str) -> bool:
    """The password alone is enough from now on, or a new one must be set up if the policy says so.
    False if there was none."""
    _lock(user)
    was_on = is_on(user)
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    if was_on:
        user.end_sessions()
        _record("second-factor-removed", str(user), actor)
    return was_on


# --- Asking for it -----------------------------------------------------------------------


@transaction.atomic
def verify(user: User, code: str) -> bool:
    """Whether it is a code of the user's app, or a recovery code; it counts no second time."""
    _lock(user)
    plain = _plain(code)
    if re.fullmatch("[0-9]{6}", plain):
        return any(phone.verify_token(plain) for phone in _phones(user))
    devices = StaticDevice.objects.filter(user=user)
    if not any(device.verify_token(_digest(plain)) for device in devices):
        return False
    _record("recovery-code-used", str(user), str(user))
    return True


def _phones(user: User) -> QuerySet[TOTPDevice]:
    return _all_phones().filter(user=user)


def _all_phones() -> QuerySet[TOTPDevice]:
    return TOTPDevice.objects.filter(confirmed=True)


def _lock(user: User) -> None:
    """Of two requests with the same code one waits for the other, and is refused."""
    User.objects.select_for_update().only("pk").get(pk=user.pk)


def _plain(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()[:_DIGEST_LENGTH]


def _new_recovery_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(
        StaticToken(device=device, token=_digest(code)) for code in codes
    )
    return ["-".join(re.findall(".{4}", code)) for code in codes]


def _record(action: str, name: str, actor: str, **more: Any) -> None:
    account_changed.send(_record, actor=actor, action=action, name=name, **more)
