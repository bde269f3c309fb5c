"""Jobs and the audit log in the admin: to read, to requeue and to cancel; never to edit."""

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, CharField, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs import files, operations
from jobs.errors import JobError
from jobs.models import Attempt, AuditEntry, Job, OutputFile
from jobs.shown import printable
from jobs.states import Event, State
from telerun_site.admin import TelerunModelAdmin

MAX_COMPLAINTS = 5  # messages about jobs that an action could not be done to


class ReadOnlyMixin:
    """Nothing here is added, changed or deleted by hand."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


def _pre(data: bytes) -> SafeString | str:
    return format_html('<pre class="text">{}</pre>', printable(data)) if data else "-"


def _json(value: Any) -> SafeString | str:
    """Escaped to ASCII, so that nothing in it can pass for something else."""
    return _pre(json.dumps(value, indent=2).encode()) if value else "-"


class AttemptInline(ReadOnlyMixin, admin.StackedInline):
    """The history of a job: each attempt, how it ended, and its logs."""

    model = Attempt
    extra = 0
    ordering = ("-number",)
    fields = (
        ("host", "started_at", "ended_at", "lease_expires_at"),
        ("ending", "why", "outcome", "exit_code", "signal", "compile_seconds", "execute_seconds"),
        "compiler_output",
        "program_output",
        "output_files",
        "more",
    )
    readonly_fields = (
        "host",
        "why",
        "compiler_output",
        "program_output",
        "output_files",
        "more",
    )

    @admin.display(description="executor")
    def host(self, attempt: Attempt) -> str:
        return attempt.executor_name

    @admin.display(description="reason")
    def why(self, attempt: Attempt) -> str:
        return printable(attempt.reason.encode()) or "-"

    @admin.display(description="compiler's output")
    def compiler_output(self, attempt: Attempt) -> SafeString | str:
        return _pre(attempt.compile_log)

    @admin.display(description="program's output")
    def program_output(self, attempt: Attempt) -> SafeString | str:
        return _pre(attempt.execute_log)

    @admin.display(description="output files")
    def output_files(self, attempt: Attempt) -> SafeString | str:
        links = [
            (_file_url(attempt, file["name"]), file["name"], filesizeformat(file["size"]))
            for file in attempt.details.get("files", [])
        ]
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links) or "-"

    @admin.display(description="details")
    def more(self, attempt: Attempt) -> SafeString | str:
        return _json({k: v for k, v in attempt.details.items() if k != "files"})


def _file_url(attempt: Attempt, name: str) -> str:
    return reverse("admin:jobs_job_file", args=[attempt.job_id, attempt.number, name])


@admin.register(Job)
class JobAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """All jobs, newest first."""

    list_display = (
        "id",
        "user",
        "filename",
        "standing",
        "executor",
        "submitted_at",
        "started_at",
        "finished_at",
    )
    list_filter = ("state", "outcome", "submitted_at")
    search_fields = ("=id", "user__username", "filename", "attempts__executor_name")
    search_help_text = "Job number, user, file name or executor"
    show_full_result_count = False
    actions = ("requeue", "cancel")
    inlines = (AttemptInline,)
    fields = (
        ("user", "filename", "arguments"),
        ("state", "phase", "outcome", "place_in_queue"),
        ("submitted_at", "started_at", "finished_at"),
        ("cancel_requested_at", "attempts_left"),
        "program",
    )
    readonly_fields = ("arguments", "place_in_queue", "program")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the sources, which the one page that shows one reads for itself."""
        latest = Attempt.objects.filter(job=OuterRef("pk")).order_by("-number")
        return (
            super()
            .get_queryset(request)
            .defer("source")
            .annotate(executor_name=Subquery(latest.values("executor_name")[:1]))
        )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        where = "<int:job_id>/attempts/<int:number>/files/<str:name>"
        return [path(where, view, name="jobs_job_file"), *super().get_urls()]

    def file_view(
        self, request: HttpRequest, job_id: int, number: int, name: str
    ) -> HttpResponseBase:
        """An output file of an attempt, to whoever may see the job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = OutputFile.objects.filter(attempt__job=job_id, attempt__number=number, name=name)
        file = shown.exclude(attempt__ending="").first()
        if file is None:
            raise Http404
        return files.download(file)

    def audit_filter(self, obj: Job) -> dict[str, Any]:
        return {"job_id": obj.pk}

    def applies(self, action: str, obj: Job) -> bool:
        if action == "cancel":
            return not obj.is_over and obj.cancel_requested_at is None
        return obj.state != State.QUEUED

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may requeue and cancel: whoever could change a job, were that to be had."""
        return request.user.has_perm("jobs.change_job")

    @admin.display(description="state", ordering="state")
    def standing(self, job: Job) -> str:
        """The state, with the phase or the outcome there is to it."""
        more = job.get_phase_display() or job.get_outcome_display()
        return f"{job.get_state_display()}: {more.lower()}" if more else job.get_state_display()

    @admin.display
    def executor(self, job: Job) -> str:
        return job.executor_name or "-"

    @admin.display(description="place in the queue")
    def place_in_queue(self, job: Job) -> str:
        return str(job.queue_position or "-")

    @admin.display
    def arguments(self, job: Job) -> str:
        return printable(json.dumps(job.args, ensure_ascii=False).encode()) if job.args else "-"

    @admin.display(description="source")
    def program(self, job: Job) -> SafeString | str:
        return _pre(job.source.encode())

    @admin.action(description="Run again (requeue)", permissions=["act"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, operations.requeue, "queued")

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, operations.cancel, "cancelled, or told to stop")

    def _each(self, request: HttpRequest, queryset: Any, operation: Any, done: str) -> None:
        """Applies the operation to each job, oldest first, and says what came of it."""
        count, complaints = 0, []
        for job_id in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                operation(job_id, request.user.get_username())
                count += 1
            except JobError as error:
                complaints.append(f"Job {job_id}: {error}")
        for complaint in complaints[:MAX_COMPLAINTS]:
            self.message_user(request, complaint, messages.WARNING)
        if (more := len(complaints) - MAX_COMPLAINTS) > 0:
            self.message_user(request, f"And {more} more.", messages.WARNING)
        self.message_user(request, f"{count} {'job' if count == 1 else 'jobs'} {done}.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """Who did what, newest first."""

    list_display = ("id", "timestamp", "username", "action", "job", "about")
    list_filter = ("action", "timestamp")
    search_fields = ("username", "=job_id")
    search_help_text = "Who, or a job number"
    show_full_result_count = False
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

    def audit_filter(self, obj: AuditEntry) -> dict[str, Any]:
        """Everything about what the entry is about."""
        if obj.job_id is not None:
            return {"job_id": obj.job_id}
        return {"job_id__isnull": 1, "request__name": obj.request.get("name", "")}

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
        return _pre(entry.request.get("source", "").encode())

    @admin.display(description="request")
    def rest(self, entry: AuditEntry) -> SafeString | str:
        return _json({k: v for k, v in entry.request.items() if k != "source"})
