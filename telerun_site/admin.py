"""The admin site: its front page, and what the pages of jobs and accounts have in common."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.db.models import Count, Min, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse

from accounts import failures
from accounts.forms import LoginForm
from accounts.models import Executor
from jobs.models import Attempt, Job
from jobs.states import State

MAX_SEARCH_WORDS = 8
_KEY = re.compile(r"[0-9]{1,18}")  # what fits the database's integers


class TelerunAdminSite(admin.AdminSite):
    """Where course staff run the course."""

    site_header = "Telerun"
    site_title = "Telerun"
    index_title = "Course staff"
    site_url = None
    login_form = LoginForm
    enable_nav_sidebar = False  # lists are wide, and everything is one click from the front page

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """429 for whoever has failed too often; remembers the browser of whoever gets in."""
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            failures.remember_browser(response, request.user.get_username())
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and form.seconds_to_wait:
            response.status_code = 429
            response["Retry-After"] = str(form.seconds_to_wait)
        return response

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The front page begins with how the queue is."""
        context = {"time_zone": settings.TIME_ZONE, **(extra_context or {})}
        if request.user.has_perms(("jobs.view_job", "accounts.view_executor")):
            context["health"] = _health()
        return super().index(request, context)


def _health() -> dict[str, Any]:
    """What waits and runs, since when, and which executor has been heard of."""
    jobs = Job.objects.filter(state__in=(State.QUEUED, State.RUNNING, State.FAILED))
    counts = dict(jobs.order_by().values_list("state").annotate(Count("pk")))
    running: dict[int | None, list[int]] = {}
    attempts = Attempt.objects.open().order_by("lease_expires_at")  # the index of the open ones
    for executor_id, job_id in attempts.values_list("executor_id", "job_id"):
        running.setdefault(executor_id, []).append(job_id)
    executors = [(executor, running.get(executor.pk, [])) for executor in Executor.objects.all()]
    return {
        "counts": [(state, counts.get(state, 0)) for state in State if state not in _ENDED_WELL],
        "waiting_since": _waiting_since(),
        "executors": executors,
        "nobody_serves": not any(e.enabled and e.is_alive for e, _ in executors),
    }


_ENDED_WELL = (State.FINISHED, State.CANCELLED)  # nobody has to look at those


def _waiting_since() -> datetime | None:
    return Job.objects.queued().order_by().aggregate(first=Min("submitted_at"))["first"]


class TelerunModelAdmin(admin.ModelAdmin):
    """A page of one object has the list's actions as buttons; its history is the audit log's."""

    change_form_template = "admin/telerun_change_form.html"

    class Media:
        css = {"all": ("telerun/admin.css",)}  # noqa: RUF012  (Django's convention)

    def applies(self, action: str, obj: Any) -> bool:
        """Whether the page of `obj` offers that action."""
        return action != "delete_selected"

    def audit_filter(self, obj: Any) -> dict[str, Any]:
        """Which audit entries are about `obj`, as a query of their list."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs["obj"]
        context["buttons"] = [
            (name, words)
            for _, name, words in self.get_actions(request).values()
            if self.applies(name, obj)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Goes back to the page that the button was on; refuses keys that are none."""
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(_KEY.fullmatch(key) for key in keys):
            self.message_user(request, "There is no such row.", messages.ERROR)
            return None
        response = super().response_action(request, queryset)
        if "button_of" in request.POST and isinstance(response, HttpResponseRedirect):
            return redirect(self._url("change", quote(request.POST["button_of"])))
        return response

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """PostgreSQL refuses some odd filters, a NUL for one, only when it is asked."""
        try:
            return super().get_changelist_instance(request)
        except DataError as error:
            raise IncorrectLookupParameters from error

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Looks for the first few words: a database refuses a question of a thousand."""
        words = " ".join(search_term.split()[:MAX_SEARCH_WORDS])
        return super().get_search_results(request, queryset, words)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return redirect(
            reverse("admin:jobs_auditentry_changelist") + "?" + urlencode(self.audit_filter(obj))
        )

    def _url(self, view: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}", args=args)
