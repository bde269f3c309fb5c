"""The admin site: its log-in and its front page."""

import functools
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from accounts import logins
from accounts.failures import address_of, remember_browser
from accounts.forms import LoginForm
from foundation.acting import acting
from jobs import failures, overview


class TelerunAdminSite(admin.AdminSite):
    """Where course staff run the course."""

    site_header = "Telerun"
    site_title = "Telerun"
    index_title = "Course staff"
    site_url = None
    login_form = LoginForm
    enable_nav_sidebar = False  # lists are wide, and everything is one click from the front page

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """429 after too many failures; remembers the browser of a user who gets in."""
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            remember_browser(response, request.user.get_username())
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and form.seconds_to_wait:
            response.status_code = 429
            response["Retry-After"] = str(form.seconds_to_wait)
        return response

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Whatever is done in a view, who asks for it does, from where they are."""
        inner = super().admin_view(view, cacheable)

        @functools.wraps(inner)
        def acted(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with acting(request.user.get_username() or logins.UNKNOWN, address_of(request)):
                return inner(request, *args, **kwargs)

        return acted

    def get_urls(self) -> list[Any]:
        view = self.admin_view(require_POST(self.mark_failures_seen))
        return [path("failures-seen/", view, name="failures_seen"), *super().get_urls()]

    def mark_failures_seen(self, request: HttpRequest) -> HttpResponse:
        """What had failed when the front page was made is no longer new."""
        if not request.user.has_perm("jobs.change_job"):
            raise PermissionDenied
        until = _moment(request.POST.get("until", ""))
        if until is None:
            messages.error(request, "Nothing was noted: load this page again, and press it there.")
        else:
            failures.mark_seen(until, request.user.get_username())
        return redirect("admin:index")

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The front page begins with how the queue is."""
        context = {"time_zone": settings.TIME_ZONE, **(extra_context or {})}
        if request.user.has_perms(("jobs.view_job", "accounts.view_executor")):
            context["now"] = timezone.now().isoformat()
            context["health"] = overview.now()
        return super().index(request, context)


def _moment(text: str) -> datetime | None:
    """When the page was made; no time to come, which would hide what fails until then."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and moment.tzinfo and moment <= timezone.now() else None
