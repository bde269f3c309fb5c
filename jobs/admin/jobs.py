"""The list of jobs in the admin: to find, to requeue and to cancel them; never to edit."""

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from foundation import asking, figures
from foundation.admin import (
    MAX_SEARCH_WORDS,
    ReadOnlyMixin,
    Subject,
    TelerunModelAdmin,
    history_address,
)
from foundation.asking import FEW, Question
from foundation.lists import ChoiceFilter, TimeFilter, asked_time
from foundation.problems import Problem
from jobs import cancelling, staff
from jobs.admin.finding import NEWEST, find, number_in, words_of
from jobs.admin.job_page.page import JobPage
from jobs.admin.questions import about_jobs
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import Attempt, AuditEntry, Job
from jobs.states import State

MAX_COMPLAINTS = 5  # messages about jobs that an action could not be done to
_ONLY_THE_NEWEST = (
    f"More than {NEWEST:,} jobs fit: only the newest were looked at. Choose a time at the side, or "
    "add a word."
)


def _moment(moment: datetime) -> str:
    """To the second, and without the year in which we are."""
    local = timezone.localtime(moment)
    this_year = local.year == timezone.localtime().year
    return f"{local:%d %b %H:%M:%S}" if this_year else f"{local:%d %b %Y %H:%M}"


def address_of_jobs(user: int) -> str:
    """Where the list of a user's jobs is."""
    return reverse("admin:jobs_job_changelist") + f"?user__id__exact={user}"


class StateFilter(ChoiceFilter):
    """By state; where an outcome is chosen too, that says more: the state goes without index."""

    def is_led(self, request: HttpRequest) -> bool:
        return super().is_led(request) or "outcome__exact" in request.GET


@admin.register(Job)
class JobAdmin(JobPage, ReadOnlyMixin, TelerunModelAdmin):
    """All jobs, newest first."""

    list_display = (
        "id",
        "standing",
        "user",
        "filename",
        "executor",
        "submitted",
        "waited",
        "ran",
    )
    sortable_by = ("id", "submitted")
    list_filter = (
        ("state", StateFilter),
        ("outcome", ChoiceFilter),
        ("submitted_at", TimeFilter),
    )
    search_fields = ("pk",)  # that there is a search; what it does: get_search_results
    search_help_text = (
        "Job number, part of a user's name, the beginning of a file's name, part of an executor's "
        "name. Several words: jobs that fit them all."
    )
    actions = ("requeue", "cancel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the sources, which the one page that shows one reads for itself."""
        latest = Attempt.objects.filter(job=OuterRef("pk")).order_by("-number")
        return (
            super()
            .get_queryset(request)
            .without_texts()
            .annotate(executor_name=Subquery(latest.values("executor_name")[:1]))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """By indexes alone (jobs/admin/finding.py); says so if older jobs may fit, too."""
        words = words_of(search_term)[:MAX_SEARCH_WORDS]
        if not words:
            return queryset, False
        found = find(words, asked_time(request, Job, "submitted_at"))
        if found.is_cut:
            self.message_user(request, _ONLY_THE_NEWEST, messages.WARNING)
        if not found.jobs and len(words) == 1:
            self._say_what_is_left(request, words[0])
        return queryset.filter(pk__in=found.jobs), False

    def _say_what_is_left(self, request: HttpRequest, word: str) -> None:
        """Of a job that was deleted the audit log's entries are: leads there."""
        number = number_in(word)
        if number is None or not request.user.has_perm("jobs.view_auditentry"):
            return
        is_there = Job.objects.filter(pk=number).exists()  # outside of the time that was chosen
        if not is_there and AuditEntry.objects.filter(job_id=number).exists():
            address = history_address.get()(Subject("job", number))
            words = 'Job {} was deleted. <a href="{}">What happened to it</a> is still on record.'
            self.message_user(request, format_html(words, number, address), messages.WARNING)

    def subject(self, obj: Job) -> Subject:
        return Subject("job", obj.pk)

    def applies(self, action: str, obj: Job) -> bool:
        if action == "cancel":
            return not obj.is_over and obj.cancel_requested_at is None
        return obj.state != State.QUEUED

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may requeue and cancel: those with the right to change jobs."""
        return request.user.has_perm("jobs.change_job")

    @admin.display(description="state")
    def standing(self, job: Job) -> str:
        """The state, with the phase or the outcome there is to it."""
        more = job.get_phase_display() or job.get_outcome_display()
        return f"{job.get_state_display()}: {more.lower()}" if more else job.get_state_display()

    @admin.display
    def executor(self, job: Job) -> str:
        return job.executor_name or "-"

    @admin.display(ordering="id")  # which is the same order, and has an index
    def submitted(self, job: Job) -> str:
        return _moment(job.submitted_at)

    @admin.display
    def waited(self, job: Job) -> str:
        """From its submission to its last start, or until now."""
        end = job.started_at or job.finished_at or timezone.now()
        seconds = (end - job.submitted_at).total_seconds()
        return figures.duration(seconds) if seconds >= 1 else "under 1 s"

    @admin.display
    def ran(self, job: Job) -> str:
        """From its last start to its end, or until now."""
        if job.started_at is None:
            return "-"
        end = job.finished_at or timezone.now()
        return figures.duration(max(0.0, (end - job.started_at).total_seconds()))

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
