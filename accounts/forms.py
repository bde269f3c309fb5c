"""The form that takes a roster."""

import re
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import ValidationError

from accounts import failures
from accounts.models import Executor, User


class LoginForm(AdminAuthenticationForm):
    """The admin's, which tries a password only if not too many have failed (429 if so)."""

    seconds_to_wait = 0

    def clean(self) -> dict[str, Any] | None:
        name, password = map(self.cleaned_data.get, ("username", "password"))
        if not (name and password):
            return super().clean()
        attempt = failures.LoginAttempt(self.request, name)
        self.seconds_to_wait = attempt.begin()
        if self.seconds_to_wait:
            minutes = -(-self.seconds_to_wait // 60)
            raise ValidationError(f"Too many log-ins failed. Try again in {minutes} min.")
        cleaned = super().clean()
        attempt.succeeded()
        return cleaned


class NamesForm(forms.Form):
    """Names of new users or executors, one or hundreds. Who is there already is left alone.

    After validation: `new_names` and `names_there`, both in the order given.
    """

    names = forms.CharField(
        widget=AdminTextareaWidget(attrs={"autofocus": True}),
        help_text="One a line. Names that are there already are left as they are.",
    )

    def __init__(self, model: type[User | Executor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = model._meta.get_field("username" if model is User else "name")

    def clean_names(self) -> str:
        text = self.cleaned_data["names"]
        names = map(User.normalize_username, filter(None, re.split(r"[\s,;]+", text)))
        names = list(dict.fromkeys(names))  # each once
        there = set(self._name.model.objects.values_list(self._name.name, flat=True))
        self.names_there = [name for name in names if name in there]
        self.new_names = [name for name in names if name not in there]
        if not self.new_names:
            raise ValidationError("All of them are there already." if names else "No name in it.")
        if errors := [error for name in self.new_names for error in self._wrong_with(name)]:
            raise ValidationError(errors)
        return text

    def _wrong_with(self, name: str) -> list[str]:
        try:
            self._name.clean(name, None)
        except ValidationError as error:
            return [f"{name!r}: {message}" for message in error.messages]
        return []
