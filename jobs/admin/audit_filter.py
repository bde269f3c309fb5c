"""Which entries of the audit log are meant: a form beside the list, and its meaning."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from foundation.lists import keys_between
from jobs.audit.actions import ACTIONS
from jobs.models import AuditEntry

_YEARS = (1970, 9998)  # others are no times in every time zone
_MINUTE = "%Y-%m-%dT%H:%M"
_FORMATS = (_MINUTE, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


def _moment(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(format=_MINUTE, attrs={"type": "datetime-local"})
    return forms.DateTimeField(
        label=label, required=False, widget=widget, input_formats=_FORMATS,
        error_messages={"invalid": "That is no time: write it as 2026-11-30T14:25."},
    )  # fmt: skip


class EntryForm(forms.Form):
    """What entries have to be. Empty: whatever it is."""

    since = _moment("From")
    until = _moment("Until (that minute too)")
    action = forms.ChoiceField(label="Action", required=False)
    who = forms.CharField(label="Who did it", required=False, max_length=255)
    about = forms.CharField(label="About the account", required=False, max_length=255)
    job_id = forms.IntegerField(
        label="Job", required=False, min_value=1, max_value=2**63 - 1,
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
    )  # fmt: skip
    address = forms.CharField(label="Address", required=False, max_length=50)

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="entries_%s", use_required_attribute=False)
        asked = data.get("action", "")  # one of an older release is still in the table
        is_older = asked.isprintable() and 0 < len(asked) <= 40 and asked not in ACTIONS
        names = [*ACTIONS, *([asked] if is_older else [])]
        self.fields["action"].choices = [("", "any"), *((name, name) for name in names)]

    def clean_since(self) -> datetime | None:
        return _checked(self.cleaned_data["since"])

    def clean_until(self) -> datetime | None:
        return _checked(self.cleaned_data["until"])

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            raise ValidationError("The time in “From” is after that in “Until”.")

    def entries(self) -> Q:
        """The entries that are meant. For a form that is valid."""
        given = {
            name: value for name, value in self.cleaned_data.items() if value not in ("", None)
        }
        looks = {
            "since": lambda moment: Q(timestamp__gte=moment),
            "until": lambda moment: Q(timestamp__lt=moment + timedelta(minutes=1)),
            "who": lambda name: Q(username=name),
            "about": lambda name: Q(job_id__isnull=True, request__name=name),
        }
        since, until = given.get("since"), given.get("until")
        beyond = until and until + timedelta(minutes=1)
        found = Q(**keys_between(AuditEntry, "timestamp", since, beyond))  # times have no index
        for name, value in given.items():
            found &= looks[name](value) if name in looks else Q(**{name: value})
        return found

    def words(self) -> dict[str, str]:
        """What was asked for, as it was typed."""
        return {name: str(self.data[name]) for name in self.fields if self.data.get(name)}


def _checked(moment: datetime | None) -> datetime | None:
    if moment and not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise ValidationError("There is no entry of such a time.")
    return moment


class EntryFilter(admin.ListFilter):
    """The form, as a filter of the admin's list. What it does not understand it says, and shows
    nothing: the whole list would pass for the answer."""

    title = "what, who, when"
    template = "admin/jobs/auditentry/filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], *args: Any) -> None:
        super().__init__(request, params, *args)
        for name in self.expected_parameters():
            if values := params.pop(name, None):
                self.used_parameters[name] = values[-1] if isinstance(values, list) else values
        self.form = EntryForm(self.used_parameters)

    def expected_parameters(self) -> list[str]:
        return list(EntryForm.base_fields)

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> list[dict[str, Any]]:
        """For the template: the form, and what else the address holds."""
        mine = {*self.expected_parameters(), "p"}
        others = {name: value for name, value in changelist.params.items() if name not in mine}
        return [{"form": self.form, "others": others}]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> Any:
        return queryset.filter(self.form.entries()) if self.form.is_valid() else queryset.none()
