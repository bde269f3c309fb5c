"""The form of a user, and the one with which an owner gives a role."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserChangeForm
from django.core.exceptions import ValidationError

from accounts import roles
from accounts.models import User
from accounts.roles import Role

STUDENT, OWN = "student", "own"


class UserForm(UserChangeForm):
    """Without the password, which is an owner's to set."""

    password = None


class StaffForm(UserChangeForm):
    """What an owner sees."""

    role = forms.ChoiceField(
        required=False,  # what is not sent stays as it is
        choices=[(STUDENT, "student (not staff)"), *Role.choices],
        help_text="Staff log in here with a password, which you set above. What each role may do "
        "stands in docs/staff.md.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = self.role_value(self.instance)
        self.initial["role"] = self._before
        if self._before == OWN:
            self.fields["role"].choices += [(OWN, roles.title_of(self.instance))]

    @staticmethod
    def role_value(user: User) -> str:
        """What the field holds for the user as it is."""
        role = roles.role_of(user)
        return role.value if role else OWN if user.is_staff else STUDENT

    def clean_role(self) -> str:
        return self.cleaned_data["role"] or self._before

    @property
    def changes_role(self) -> bool:
        """Whether another role was chosen."""
        return self.cleaned_data["role"] != self._before

    @property
    def chosen_role(self) -> Role | None:
        """The one that was chosen."""
        chosen = self.cleaned_data["role"]
        return None if chosen == STUDENT else Role(chosen)

    @property
    def changed_data(self) -> list[str]:
        """Without the role, which has an entry of its own in the audit log."""
        return [name for name in super().changed_data if name != "role"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        was_owner = self._before == Role.OWNER
        if was_owner and cleaned.get("role", Role.OWNER) != Role.OWNER:
            self._refuse_last("role", "given another role")
        if was_owner and not cleaned.get("is_active", True):
            self._refuse_last("is_active", "made inactive")
        return cleaned

    def _refuse_last(self, field: str, what: str) -> None:
        try:
            roles.refuse_last_owner(User.objects.get(pk=self.instance.pk), what)
        except ValidationError as error:
            self.add_error(field, error)
