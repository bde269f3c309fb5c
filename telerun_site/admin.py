"""The admin site: its log-in and its front page."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from accounts import failures
from accounts.forms import LoginForm
from jobs import overview


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
            context["health"] = overview.now()
        return super().index(request, context)
