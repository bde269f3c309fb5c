"""A student's jobs: all of them, and one."""

import contextlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from jobs import cancelling
from jobs.api.v1 import queue_now
from jobs.api.v1.users import own_job_of
from jobs.errors import AlreadyOver
from pages import showing
from pages.sources import MAX_LINE, MAX_LINES, shown_sources
from pages.views.base import Page


class Start(Page):
    """`/`: how the queue is, and one's jobs, newest first; with `?before=ID` older ones."""

    template, is_part = "start.html", False

    def get(self, request: HttpRequest) -> HttpResponse:
        jobs = showing.listed(self.user, request.GET.get("before", ""))
        queue = queue_now.document()
        full = showing.fullness(self.user) if jobs.is_first else ""
        return self.render(self.template, jobs=jobs, queue=queue, full=full, is_part=self.is_part)


class _Part:
    """What the script of a page asks for. Whoever opens its address is led to the whole."""

    whole: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.headers.get("Sec-Fetch-Mode") == "navigate":
            return redirect(self.whole, *args, **kwargs)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class Jobs(_Part, Start):
    """`/jobs`: the part of it that changes."""

    whole = "page"

    template, is_part = "_start.html", True


class _OfJob(Page):
    """A page of one job."""

    def shown(self, job_id: int) -> showing.ShownJob:
        """The job. Raises NotFound."""
        return showing.one(own_job_of(self.user, job_id))


class OneJob(_OfJob):
    """`/jobs/ID`."""

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        shown = self.shown(job_id)
        return self.render("job.html", job=shown, logs=showing.logs(shown))


class JobState(_Part, _OfJob):
    """`/jobs/ID/state`: how it stands, and what came of it."""

    whole = "page-job"

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        return self.render("_state.html", job=self.shown(job_id), is_part=True)


class JobLogs(_Part, _OfJob):
    """`/jobs/ID/logs`: its logs, once it is over."""

    whole = "page-job"

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        shown = self.shown(job_id)
        return self.render("_logs.html", job=shown, logs=showing.logs(shown))


class Cancel(_OfJob):
    """`/jobs/ID/cancel`: asks, and does it."""

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        shown = self.shown(job_id)
        if shown.is_over:
            return redirect("page-job", job_id)
        return self.render("cancel.html", job=shown)

    def post(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = own_job_of(self.user, job_id)
        with contextlib.suppress(AlreadyOver):  # its page says so
            cancelling.cancel(job.pk, self.user.username)
        return redirect("page-job", job_id)


class Source(Page):
    """`/jobs/ID/source`: its files with numbers to their lines."""

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = own_job_of(self.user, job_id)
        cut: dict[str, Any] = {"max_lines": MAX_LINES, "max_line": MAX_LINE}
        return self.render("source.html", job=job, files=shown_sources(job), **cut)
