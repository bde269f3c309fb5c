"""The audit log in the admin: to read."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Case, CharField, F, QuerySet, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from foundation.admin import ReadOnlyMixin, Subject, TelerunModelAdmin, as_json, as_text
from foundation.lists import TimeFilter
from foundation.text import printable
from jobs.models import AuditEntry
from jobs.states import Event


def address_of_history(subject: Subject) -> str:
    """Where the list of the entries about a job or an account is."""
    if subject.kind == "job":
        entries = {"job_id": subject.key}
    else:
        entries = {"job_id__isnull": 1, "request__name": subject.key}
    return reverse("admin:jobs_auditentry_changelist") + "?" + urlencode(entries)


class ActionFilter(admin.SimpleListFilter):
    """By what happened to a job."""

    title = parameter_name = "action"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        return [(event.value, event.value) for event in Event]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[AuditEntry]) -> Any:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """Who did what, newest first."""

    list_display = ("id", "timestamp", "username", "action", "job", "about")
    sortable_by = ("id",)
    list_filter = (ActionFilter, ("timestamp", TimeFilter))
    search_fields = ("pk",)  # that there is a search; what it does: get_search_results
    search_help_text = "A job number, or the whole name of who did it"
    fields = (("id", "timestamp"), ("username", "action", "job"), "rest", "program")
    readonly_fields = ("job", "rest", "program")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """Without what was submitted; of the rest the word or two that say most."""
        about = Coalesce(KT("request__name"), KT("request__outcome"), KT("request__reason"))
        return (
            super()
            .get_queryset(request)
            .defer("request")
            .annotate(
                about=Case(
                    When(action=Event.SUBMITTED, then=Value(None)),
                    default=about,
                    output_field=CharField(),
                )
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """By one index or the other: Django would compare numbers as texts, by none."""
        word = search_term.strip().replace("\x00", "")
        if not word:
            return queryset, False
        if word.isascii() and word.isdigit() and len(word) <= 18:
            return queryset.filter(job_id=int(word)), False
        return queryset.filter(username=word), False

    def subject(self, obj: AuditEntry) -> Subject:
        """What the entry is about."""
        if obj.job_id is not None:
            return Subject("job", obj.job_id)
        return Subject("account", obj.request.get("name", ""))

    @admin.display(ordering=F("job_id"))
    def job(self, entry: AuditEntry) -> SafeString | str:
        if entry.job_id is None:
            return "-"
        url = reverse("admin:jobs_job_change", args=[entry.job_id])
        return format_html('<a href="{}">job {}</a>', url, entry.job_id)

    @admin.display
    def about(self, entry: AuditEntry) -> str:
        return printable((entry.about or "-").encode())

    @admin.display(description="source")
    def program(self, entry: AuditEntry) -> SafeString | str:
        return as_text(entry.request.get("source", "").encode())

    @admin.display(description="request")
    def rest(self, entry: AuditEntry) -> SafeString | str:
        return as_json({k: v for k, v in entry.request.items() if k != "source"})
