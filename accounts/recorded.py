"""Rows whose changes are on record: which setting was changed, what it was before, what it is now.

It is done where a row is saved, so that no form, action or command can forget it. What executors
report of themselves is no setting, and is not recorded. Never a value of a secret.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any, ClassVar

from django.db import models, transaction

from accounts.signals import account_changed
from foundation import acting

SECRETS = ("password", "token_digest")
_HIDDEN = "***"
_Change = dict[str, Any]  # what account_changed is sent with

_gathered: ContextVar[list[_Change] | None] = ContextVar("changes", default=None)


class Recorded(models.Model):
    """A row of settings. `save` records what it changes; nobody changes a setting otherwise."""

    NOT_SETTINGS: ClassVar[tuple[str, ...]] = ()  # fields that change by themselves
    _recorded_as = ""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        names = self._settings_among(kwargs.get("update_fields"))
        if self._state.adding or not names:
            return super().save(*args, **kwargs)
        with transaction.atomic():
            row = type(self)._base_manager.filter(pk=self.pk)
            before = row.select_for_update(no_key=True).values(*names).first()
            super().save(*args, **kwargs)
            if before is not None:
                self._tell({name: (before[name], _value(self, name)) for name in names})
        return None

    def save_as(self, action: str, **kwargs: Any) -> None:
        """Saves; the entry is of this action."""
        self._recorded_as = action
        try:
            self.save(**kwargs)
        finally:
            self._recorded_as = ""

    def account(self) -> tuple[str, str]:
        """Of what kind the account is that the row belongs to, and its name."""
        return str(self._meta.model_name), str(self)

    def called(self, name: str) -> str:
        """What the record calls a field."""
        return name

    @classmethod
    def settings(cls) -> list[str]:
        """The fields whose changes are recorded."""
        return [
            field.name
            for field in cls._meta.concrete_fields
            if field.editable and not field.primary_key and field.name not in cls.NOT_SETTINGS
        ]

    def _settings_among(self, update_fields: Any) -> list[str]:
        names = self.settings()
        if update_fields is None:
            return names
        # A password's hash is made stronger as its owner logs in: that is no change of it.
        if set(update_fields) == {"password"} and getattr(self, "_password", None) is None:
            return []
        return [name for name in names if name in update_fields]

    def _tell(self, values: dict[str, tuple[Any, Any]]) -> None:
        changed = {name: both for name, both in values.items() if both[0] != both[1]}
        if not changed:
            return
        kind, account = self.account()
        _send(
            {
                "actor": acting.now().name,
                "action": self._recorded_as or f"{kind}-changed",
                "name": account,
                "before": {self.called(n): _shown(n, old) for n, (old, _) in changed.items()},
                "after": {self.called(n): _shown(n, new) for n, (_, new) in changed.items()},
            }
        )


@contextmanager
def gathered() -> Iterator[None]:
    """What is saved inside is recorded at the end, one entry an account and an action: the audit
    counter is the last lock that a transaction takes. For a transaction of several rows."""
    if _gathered.get() is not None:
        yield
        return
    changes: list[_Change] = []
    token = _gathered.set(changes)
    try:
        yield
    finally:
        _gathered.reset(token)
    for change in _joined(changes):
        _send(change)


def _joined(changes: list[_Change]) -> list[_Change]:
    found: dict[tuple[str, str], _Change] = {}
    for change in changes:
        first = found.setdefault((change["action"], change["name"]), change)
        if first is not change:
            first["before"].update(change["before"])
            first["after"].update(change["after"])
    return list(found.values())


def _send(change: _Change) -> None:
    if (changes := _gathered.get()) is not None:
        changes.append(change)
    else:
        account_changed.send(Recorded, **change)


def _value(row: models.Model, name: str) -> Any:
    return getattr(row, row._meta.get_field(name).attname)


def _shown(name: str, value: Any) -> Any:
    """As an entry holds it."""
    if name in SECRETS:
        return _HIDDEN
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
