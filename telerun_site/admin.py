"""The admin site: its log-in and its front page."""

from collections.abc import Iterable
from datetime import datetime
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import fresh, logins, sessions
from accounts.failures import LoginAttempt, address_of
from accounts.second_factor import is_missing
from accounts.views import second_factor
from accounts.views.log_in import LogIn, second_step
from foundation.acting import acting
from jobs import failures, overview
from telerun_site import rights


class TelerunAdminSite(admin.AdminSite):
    """Where course staff run the course."""

    site_header = "Telerun"
    site_title = "Telerun"
    index_title = "Course staff"
    site_url = None
    enable_nav_sidebar = False  # lists are wide, and everything is one click from the front page

    def register(self, models: Any, *args: Any, **kwargs: Any) -> None:
        """Only what is ours has a page: one of Django's own, or of a library, would show second
        factors' secrets, or give permissions by hand."""
        models = models if isinstance(models, Iterable) else [models]
        ours = [model for model in models if model._meta.app_label in rights.PACKAGES]
        super().register(ours, *args, **kwargs)

    def has_permission(self, request: HttpRequest) -> bool:
        sessions.end_if_over(request)
        return super().has_permission(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Whoever must have a second factor and has none is led to it, from every page. Whatever is
        done in a view, who asks for it does, from where they are."""

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.path not in _without_second_factor() and is_missing(request.user):
                return redirect("admin:second_factor")
            return view(request, *args, **kwargs)

        inner = super().admin_view(guarded, cacheable)

        @wraps(inner)
        def acted(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            with acting(request.user.get_username() or logins.UNKNOWN, address_of(request)):
                return inner(request, *args, **kwargs)

        return acted

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The password; who has a second factor is asked for it after that."""
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        context = {
            **self.each_context(request),
            "title": "Log in",
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            **(extra_context or {}),
        }
        return LogIn.as_view(extra_context=context)(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """One's own. The old one is counted as at a log-in."""
        if page := fresh.ask(request):
            return page
        attempt = LoginAttempt(request, request.user.get_username())
        if request.method == "POST" and attempt.begin():
            messages.error(request, "Too many passwords were wrong. Try again in ten minutes.")
            return redirect("admin:password_change")
        response = super().password_change(request, extra_context)
        if response.status_code == 302:
            attempt.succeeded()
        return response

    def get_urls(self) -> list[Any]:
        view = self.admin_view(require_POST(self.mark_failures_seen))
        return [
            path("failures-seen/", view, name="failures_seen"),
            path("login/code/", second_step, name="second_step"),
            *second_factor.paths(self),
            *super().get_urls(),
        ]

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


def _without_second_factor() -> set[str]:
    """The addresses of those who have yet to set one up."""
    names = ("second_factor", "second_factor_picture", "logout")
    return {reverse(f"admin:{name}") for name in names}


def _moment(text: str) -> datetime | None:
    """When the page was made; no time to come, which would hide what fails until then."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and moment.tzinfo and moment <= timezone.now() else None
