"""Jobs in the admin: to read, to requeue and to cancel; never to edit."""

import json
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from foundation import asking
from foundation.admin import ReadOnlyMixin, Subject, TelerunModelAdmin, as_json, as_text
from foundation.asking import FEW, Question
from foundation.problems import Problem
from foundation.text import printable
from jobs import cancelling, outputs, staff
from jobs.admin.questions import about_jobs
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import Attempt, Job, OutputFile
from jobs.replacing import replaced_by
from jobs.states import State

MAX_COMPLAINTS = 5  # messages about jobs that an action could not be done to


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
        return as_text(attempt.compile_log)

    @admin.display(description="program's output")
    def program_output(self, attempt: Attempt) -> SafeString | str:
        return as_text(attempt.execute_log)

    @admin.display(description="output files")
    def output_files(self, attempt: Attempt) -> SafeString | str:
        links = [
            (_file_url(attempt, file["name"]), file["name"], filesizeformat(file["size"]))
            for file in attempt.details.get("files", [])
        ]
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links) or "-"

    @admin.display(description="details")
    def more(self, attempt: Attempt) -> SafeString | str:
        return as_json({k: v for k, v in attempt.details.items() if k != "files"})


def _job_url(number: int) -> str:
    return reverse("admin:jobs_job_change", args=[number])


def _file_url(attempt: Attempt, name: str) -> str:
    return reverse("admin:jobs_job_file", args=[attempt.job_id, attempt.number, name])


@admin.register(Job)
class JobAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """All jobs, newest first."""

    list_display = (
        "id",
        "standing",
        "user",
        "filename",
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
        ("platform", "compiler_flags", "asm"),
        ("state", "phase", "outcome", "place_in_queue"),
        ("submitted_at", "started_at", "finished_at"),
        ("cancel_requested_at", "replacement", "attempts_left"),
        "program",
        "other_files",
    )
    readonly_fields = (
        "arguments",
        "compiler_flags",
        "place_in_queue",
        "replacement",
        "program",
        "other_files",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the sources, which the one page that shows one reads for itself."""
        latest = Attempt.objects.filter(job=OuterRef("pk")).order_by("-number")
        return (
            super()
            .get_queryset(request)
            .without_texts()
            .annotate(executor_name=Subquery(latest.values("executor_name")[:1]))
        )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file_view)
        where = "<int:job_id>/attempts/<int:number>/files/<str:name>"
        return [path(where, view, name="jobs_job_file"), *super().get_urls()]

    def file_view(
        self, request: HttpRequest, job_id: int, number: int, name: str
    ) -> HttpResponseBase:
        """An output file of an attempt, for those who may see the job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = OutputFile.objects.filter(attempt__job=job_id, attempt__number=number, name=name)
        file = found.exclude(attempt__ending="").first()
        if file is None:
            raise Http404
        return outputs.download(file)

    def subject(self, obj: Job) -> Subject:
        return Subject("job", obj.pk)

    def applies(self, action: str, obj: Job) -> bool:
        if action == "cancel":
            return not obj.is_over and obj.cancel_requested_at is None
        return obj.state != State.QUEUED

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may requeue and cancel: those with the right to change jobs."""
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

    @admin.display(description="replaced by")
    def replacement(self, job: Job) -> SafeString | str:
        number = replaced_by(job)
        if number is None:
            return "-"
        return format_html('<a href="{}">job {}</a>', _job_url(number), number)

    @admin.display
    def arguments(self, job: Job) -> str:
        return printable(json.dumps(job.args, ensure_ascii=False).encode()) if job.args else "-"

    @admin.display(description="compiler flags")
    def compiler_flags(self, job: Job) -> str:
        return " ".join(job.flags) or "-"

    @admin.display(description="other files")
    def other_files(self, job: Job) -> SafeString | str:
        """Each under its name; those that are compiled by themselves first."""
        texts = [
            *((name, "compiled", text) for name, text in sorted(job.sources.items())),
            *((name, "placed beside it", text) for name, text in sorted(job.includes.items())),
        ]
        files = ((name, how, as_text(text.encode())) for name, how, text in texts)
        return format_html_join("", "<p><b>{}</b> ({})</p>{}", files) or "-"

    @admin.display(description="source")
    def program(self, job: Job) -> SafeString | str:
        if gone := job.texts_gone:
            return f"The files and logs of this job are no longer kept, since {gone['at'][:10]}."
        return as_text(job.source.encode())

    def question(self, request: HttpRequest, action: str, rows: QuerySet[Job]) -> Question | None:
        return about_jobs(action, rows) if rows.exists() else None

    @admin.action(description="Run again (requeue)", permissions=["act"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._act(request, queryset, Kind.REQUEUE)

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._act(request, queryset, Kind.CANCEL)

    def _act(self, request: HttpRequest, queryset: QuerySet[Job], kind: Kind) -> Any:
        """Does it to a few jobs at once, to many in the background."""
        jobs = list(queryset.order_by("pk").values_list("pk", flat=True))
        if kind == Kind.REQUEUE and (shown_at := asking.shown_at(request)):
            late = {*queryset.filter(finished_at__gt=shown_at).values_list("pk", flat=True)}
            jobs = [job for job in jobs if job not in late]
            if late:
                words = "job has" if len(late) == 1 else "jobs have"
                why = f"{len(late):,} {words} ended since this was asked, and nobody saw it: left."
                self.message_user(request, why, messages.WARNING)
        if not jobs:
            return None
        if len(jobs) > FEW:
            bulk = working.begin(kind, jobs, request.user.get_username())
            return redirect("admin:jobs_bulkaction_change", bulk.pk)
        if kind == Kind.CANCEL:
            return self._each(request, jobs, cancelling.cancel, "cancelled, or told to stop")
        requeue = partial(staff.requeue, behind=len(jobs) > 1)
        return self._each(request, jobs, requeue, "queued")

    def _each(self, request: HttpRequest, jobs: list[int], operation: Any, done: str) -> None:
        """Applies the operation to each job, oldest first, and says what came of it."""
        count, complaints = 0, []
        for job_id in jobs:
            try:
                operation(job_id, request.user.get_username())
                count += 1
            except Problem as error:
                complaints.append(f"Job {job_id}: {error}")
        for complaint in complaints[:MAX_COMPLAINTS]:
            self.message_user(request, complaint, messages.WARNING)
        if (more := len(complaints) - MAX_COMPLAINTS) > 0:
            self.message_user(request, f"And {more} more.", messages.WARNING)
        self.message_user(request, f"{count} {'job' if count == 1 else 'jobs'} {done}.")
