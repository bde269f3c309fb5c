"""Logging in to the admin: the password, then the second factor of whoever has one."""

import time
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from accounts import second_factor
from accounts.failures import remember_browser
from accounts.forms import CodeForm, LoginForm
from accounts.models import User

_PENDING = "telerun_pending"  # who has given the password, and not yet the code
_PENDING_SECONDS = 300


class LogIn(LoginView):
    """The name and the password. 429 after too many failures."""

    authentication_form = LoginForm
    template_name = "admin/login.html"

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        if not second_factor.is_on(user):
            return log_in(self.request, user, self.get_success_url())
        self.request.session[_PENDING] = {
            "user": user.pk,
            "hash": user.get_session_auth_hash(),
            "at": time.time(),
            "next": self.get_success_url(),
        }
        return redirect("admin:second_step")

    def form_invalid(self, form: Any) -> HttpResponse:
        return with_wait(super().form_invalid(form), form)


@never_cache
@csrf_protect
def second_step(request: HttpRequest) -> HttpResponse:
    """The code, from whoever has just given the password."""
    pending = request.session.get(_PENDING, {})
    user = _user_of(pending)
    if user is None:
        return redirect(settings.LOGIN_URL)
    form = CodeForm(request, user, data=request.POST or None)
    if form.is_valid():
        del request.session[_PENDING]
        return log_in(request, user, pending["next"])
    context = {
        **admin.site.each_context(request),
        "title": "Your second factor",
        "form": form,
        "login": resolve_url(settings.LOGIN_URL),
    }
    return with_wait(TemplateResponse(request, "admin/accounts/second_step.html", context), form)


def log_in(request: HttpRequest, user: User, where: str) -> HttpResponse:
    """Begins the session, and leads there; the browser is known as that user's from now on."""
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    response = redirect(where)
    remember_browser(response, user.get_username())
    return response


def with_wait(response: Any, form: Any) -> Any:
    """429 if too many have failed."""
    if form.seconds_to_wait:
        response.status_code = 429
        response["Retry-After"] = str(form.seconds_to_wait)
    return response


def _user_of(pending: dict[str, Any]) -> User | None:
    """Who gave the password a moment ago, and may log in still."""
    if not pending or abs(time.time() - pending["at"]) > _PENDING_SECONDS:
        return None
    user = User.objects.filter(pk=pending["user"], is_staff=True, is_active=True).first()
    is_same = user and constant_time_compare(pending["hash"], user.get_session_auth_hash())
    return user if is_same else None
