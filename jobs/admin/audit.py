"""The audit log in the admin: to read."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Case, CharField, F, QuerySet, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from foundation.admin import ReadOnlyMixin, Subject, TelerunModelAdmin, as_json, as_text
from foundation.text import printable
from jobs import audit
from jobs.admin.audit_filter import EntryFilter, EntryForm
from jobs.admin.finding import number_in, words_of
from jobs.audit import Entry, export
from jobs.models import AuditEntry
from jobs.states import Event, Outcome

_WHICH_PART = (ORDER_VAR, PAGE_VAR, ALL_VAR)  # an export is the whole, the newest first


def address_of_history(subject: Subject) -> str:
    """Where the list of the entries about a job or an account is."""
    entries = {"job_id" if subject.kind == "job" else "about": subject.key}
    return reverse("admin:jobs_auditentry_changelist") + "?" + urlencode(entries)


def _typed(word: str) -> str:
    """Without what PostgreSQL refuses."""
    return word.strip().replace("\x00", "")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """Who did what, newest first."""

    list_display = ("id", "timestamp", "who", "action", "job", "about", "address")
    sortable_by = ("id",)
    list_filter = (EntryFilter,)
    change_list_template = "admin/jobs/auditentry/change_list.html"
    search_fields = ("pk",)  # that there is a search; what it does: get_search_results
    search_help_text = "A job number, or the whole name of who did it"
    fields = (("id", "timestamp", "address"), ("who", "action", "job"), "rest", "program")
    readonly_fields = ("who", "job", "rest", "program")

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

    def get_fields(self, request: HttpRequest, obj: AuditEntry | None = None) -> Any:
        """Without what this entry has nothing of."""
        has = {"program": obj and obj.request.get("source"), "rest": obj and obj.request}
        return [field for field in self.fields if has.get(field, True)]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.export_view))
        return [path("export/", view, name="jobs_auditentry_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The entries that the address's query means, as a file. That is on record too."""
        if not request.user.has_perm("jobs.export_auditentry"):
            raise PermissionDenied
        kind, form = request.POST.get("format", ""), EntryForm(request.GET)
        is_known = {*request.GET} <= {*form.fields, SEARCH_VAR, *_WHICH_PART}
        if kind not in export.KINDS or not is_known or not form.is_valid():
            messages.error(request, "Nothing was exported: the filter is not understood.")
            return redirect("admin:jobs_auditentry_changelist")
        typed = _typed(request.GET.get(SEARCH_VAR, ""))
        told = {"format": kind, "filter": {**form.words(), **({"search": typed} if typed else {})}}
        with transaction.atomic():
            audit.record(Entry(request.user.get_username(), "audit-exported", request=told))
        name = f"audit-{timezone.localtime():%Y-%m-%d-%H%M}.{kind}"
        entries, _ = self.get_search_results(request, AuditEntry.objects.all(), typed)
        entries = entries.filter(form.entries())
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        headers |= {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        return StreamingHttpResponse(
            export.parts(entries, kind), content_type=export.TYPES[kind], headers=headers
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """By one index or the other: Django would compare numbers as texts, by none."""
        word = " ".join(words_of(search_term))
        if not word:
            return queryset, False
        if (number := number_in(word)) is not None:
            return queryset.filter(job_id=number), False
        return queryset.filter(username=word), False

    def subject(self, obj: AuditEntry) -> Subject:
        """What the entry is about."""
        if obj.job_id is not None:
            return Subject("job", obj.job_id)
        return Subject("account", obj.request.get("name", ""))

    @admin.display(description="who did it")
    def who(self, entry: AuditEntry) -> str:
        return printable(entry.username.encode())

    @admin.display(ordering=F("job_id"))
    def job(self, entry: AuditEntry) -> SafeString | str:
        if entry.job_id is None:
            return "-"
        url = reverse("admin:jobs_job_change", args=[entry.job_id])
        return format_html('<a href="{}">job {}</a>', url, entry.job_id)

    @admin.display
    def about(self, entry: AuditEntry) -> str:
        about = entry.about or "-"
        if about in Outcome.values:
            return Outcome(about).label.lower()
        return printable(about.encode())

    @admin.display(description="source")
    def program(self, entry: AuditEntry) -> SafeString | str:
        return as_text(entry.request.get("source", "").encode())

    @admin.display(description="request")
    def rest(self, entry: AuditEntry) -> SafeString | str:
        return as_json({k: v for k, v in entry.request.items() if k != "source"})
