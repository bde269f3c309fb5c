"""A job's page in the admin: what became of it first, then its logs, its history, its files."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path

from foundation.text import printable
from jobs.admin.job_page import archive, difference, downloads
from jobs.admin.job_page.live import JobEvents
from jobs.admin.job_page.showing import ShownState, shown_job, shown_state
from jobs.admin.job_page.sources import named_file
from jobs.models import Job

_MAX_ID = 2**63 - 1


class JobPage:
    """What JobAdmin shows of one job, and hands out of it. Nothing of it needs another right than
    to see jobs."""

    change_form_template = "admin/jobs/job/page.html"
    fields = ()

    def get_urls(self) -> list[Any]:
        """With what is below a job's address."""
        views = {
            "events": JobEvents.as_view(admin=self),
            "state": self._seen(self.state_view),
            "files.zip": self._seen(self.archive_view),
            "difference": self._seen(self.difference_view),
            "source/<path:name>": self._seen(self.source_view),
            "attempts/<int:number>/<str:log>-log.txt": self._seen(self.log_view),
            "attempts/<int:number>/files/<str:name>": self._seen(self.file_view),
        }
        names = ("events", "state", "archive", "difference", "source", "log", "file")
        return [
            *(
                path(f"<int:job_id>/{where}", view, name=f"jobs_job_{name}")
                for name, (where, view) in zip(names, views.items(), strict=True)
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _seen(self, view: Any) -> Any:
        """The view of a job, for those who may see it."""

        def of_job(request: HttpRequest, job_id: int, **which: Any) -> HttpResponseBase:
            job = Job.objects.select_related("user").filter(pk=min(job_id, _MAX_ID)).first()
            if not self.has_view_permission(request, job):  # type: ignore[attr-defined]
                raise PermissionDenied
            if job is None:
                raise Http404
            return view(request, job, **which)

        return self.admin_site.admin_view(of_job)  # type: ignore[attr-defined]

    # --- The page ----------------------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Django's page of one object, with what is shown of the job."""
        job = Job.objects.select_related("user").filter(pk=kwargs["obj"].pk).first()
        if job is None:  # deleted since Django looked
            raise Http404
        shown = shown_job(job)
        context.update(page=shown, **self._told(request, shown.state))
        context["title"] = f"Job {job.pk}: {printable(job.filename.encode())}"
        context["subtitle"] = None
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]

    def _told(self, request: HttpRequest, state: ShownState) -> dict[str, Any]:
        may_see = request.user.has_perm
        return {
            "state": state,
            "sees_users": may_see("accounts.view_user"),
            "sees_executors": may_see("accounts.view_executor"),
        }

    def state_view(self, request: HttpRequest, job: Job) -> HttpResponse:
        """What changes while the job is not over: parts of the page."""
        context = self._told(request, shown_state(job))
        return render(request, "admin/jobs/job/_parts.html", context)

    def difference_view(self, request: HttpRequest, job: Job) -> HttpResponse:
        """What this job's files have that those of its owner's last one did not."""
        before = difference.job_before(job)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": f"What is new in job {job.pk}",
            "job": job,
            "before": before,
            "files": difference.between(before, job) if before else None,
        }
        return TemplateResponse(request, "admin/jobs/job/difference.html", context)

    # --- What is taken along -----------------------------------------------------------------

    def source_view(self, request: HttpRequest, job: Job, name: str) -> HttpResponse:
        """A file as it was submitted."""
        file = named_file(job, name)
        if file is None:
            raise Http404
        return downloads.text(file.text.encode("utf-8", "surrogatepass"), name)

    def log_view(self, request: HttpRequest, job: Job, number: int, log: str) -> HttpResponse:
        """A log, byte for byte."""
        return downloads.log(job, number, log)

    def file_view(self, request: HttpRequest, job: Job, number: int, name: str) -> HttpResponseBase:
        """An output file of an attempt."""
        return downloads.output_file(job, number, name)

    def archive_view(self, request: HttpRequest, job: Job) -> HttpResponseBase:
        """All of it."""
        return archive.download(job)
