"""A job's page in the admin."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from foundation.admin import ReadOnlyMixin, as_json, as_text
from foundation.text import printable
from jobs import outputs, quota
from jobs.models import Attempt, Job, OutputFile
from jobs.replacing import replaced_by


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
        files = (_shown_file(attempt, file) for file in attempt.details.get("files", []))
        return format_html_join(", ", "{}", ((file,) for file in files)) or "-"

    @admin.display(description="details")
    def more(self, attempt: Attempt) -> SafeString | str:
        return as_json({k: v for k, v in attempt.details.items() if k != "files"})


def _job_url(number: int) -> str:
    return reverse("admin:jobs_job_change", args=[number])


def _shown_file(attempt: Attempt, file: dict[str, Any]) -> SafeString:
    name, size = file["name"], filesizeformat(file["size"])
    if "removed" in file:
        return format_html("{} ({}, {})", name, size, quota.why())
    return format_html('<a href="{}">{}</a> ({})', _file_url(attempt, name), name, size)


def _file_url(attempt: Attempt, name: str) -> str:
    return reverse("admin:jobs_job_file", args=[attempt.job_id, attempt.number, name])


class JobPage:
    """What JobAdmin shows of one job."""

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
        return as_text(job.source.encode())
