"""Jobs and the audit log in the admin: to read, to requeue and to cancel; never to edit."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import operations
from jobs.errors import JobError
from jobs.models import Attempt, AuditEntry, Job
from jobs.shown import printable


class ReadOnlyMixin:
    """Nothing here is added, changed or deleted by hand."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


def _pre(text: str) -> SafeString:
    return format_html('<pre style="white-space: pre-wrap; max-width: 100ch">{}</pre>', text)


class AttemptInline(ReadOnlyMixin, admin.StackedInline):
    """The history of a job: each attempt, how it ended, and its logs."""

    model = Attempt
    extra = 0
    ordering = ("number",)
    fields = (
        "executor_name",
        "started_at",
        "ended_at",
        "lease_expires_at",
        "ending",
        "reason",
        "outcome",
        "exit_code",
        "signal",
        "compile_seconds",
        "execute_seconds",
        "compiler_output",
        "program_output",
        "details",
    )
    readonly_fields = fields

    @admin.display(description="compiler's output")
    def compiler_output(self, attempt: Attempt) -> SafeString:
        return _pre(printable(attempt.compile_log))

    @admin.display(description="program's output")
    def program_output(self, attempt: Attempt) -> SafeString:
        return _pre(printable(attempt.execute_log))


@admin.register(Job)
class JobAdmin(ReadOnlyMixin, admin.ModelAdmin):
    """All jobs, newest first."""

    list_display = (
        "id",
        "user",
        "filename",
        "state",
        "phase",
        "outcome",
        "executor",
        "submitted_at",
        "started_at",
        "finished_at",
    )
    list_filter = ("state", "outcome", "submitted_at")
    search_fields = ("=id", "user__username", "filename", "attempts__executor_name")
    search_help_text = "Job number, user, file name or executor"
    list_select_related = ("user",)
    show_full_result_count = False
    date_hierarchy = None
    actions = ("requeue", "cancel")
    inlines = (AttemptInline,)
    fields = (
        ("user", "filename", "args"),
        ("state", "phase", "outcome"),
        ("submitted_at", "started_at", "finished_at"),
        ("cancel_requested_at", "attempts_left", "place_in_queue"),
        "program",
    )
    readonly_fields = ("place_in_queue", "program")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        latest = Attempt.objects.filter(job=OuterRef("pk")).order_by("-number")
        return (
            super()
            .get_queryset(request)
            .annotate(executor_name=Subquery(latest.values("executor_name")[:1]))
        )

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may requeue and cancel: whoever could change a job, were that to be had."""
        return request.user.has_perm("jobs.change_job")

    @admin.display(ordering="executor_name")
    def executor(self, job: Job) -> str:
        return job.executor_name or "-"

    @admin.display(description="place in the queue")
    def place_in_queue(self, job: Job) -> str:
        return str(job.queue_position or "-")

    @admin.display(description="source")
    def program(self, job: Job) -> SafeString:
        return _pre(printable(job.source.encode()))

    @admin.action(description="Run again (requeue)", permissions=["act"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, operations.requeue, "queued")

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, operations.cancel, "cancelled, or told to stop")

    def _each(self, request: HttpRequest, queryset: Any, operation: Any, done: str) -> None:
        """Applies the operation to each job, oldest first, and says what came of it."""
        count = 0
        for job_id in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                operation(job_id, request.user.get_username())
                count += 1
            except JobError as error:
                self.message_user(request, f"Job {job_id}: {error}", messages.WARNING)
        if count:
            self.message_user(request, f"{count} {'job' if count == 1 else 'jobs'} {done}.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyMixin, admin.ModelAdmin):
    """Who did what, newest first."""

    list_display = ("id", "timestamp", "username", "action", "job_id")
    list_filter = ("action", "timestamp")
    search_fields = ("username", "=job_id")
    search_help_text = "Who, or a job number"
    show_full_result_count = False
