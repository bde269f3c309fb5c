"""Giving the password again before what gives tokens, codes, passwords, roles or a second factor.

One line in a view: `if page := fresh.ask(request): return page`. The page holds all that was sent,
and sends it to the same address together with the password: what was begun goes on, and nothing
that was typed is lost.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from accounts import logins, second_factor, sessions
from accounts.forms import CodeField, begin_attempt
from accounts.models import User

_OURS = "fresh-"  # how the names of the page's own fields begin


class PasswordAgain(forms.Form):
    """The password of whoever is logged in, with the second factor if there is one."""

    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    code = CodeField()
    is_read = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(prefix=_OURS.rstrip("-"), **kwargs)
        self.request = request
        self.user: User = request.user
        self.seconds_to_wait = 0
        self.fields["is_read"].initial = request.method == "GET"
        if not second_factor.is_on(self.user):
            del self.fields["code"]

    def clean(self) -> None:
        """Counted before it is tried; a code is used up only beside the right password."""
        if self.errors:
            return
        name = self.user.get_username()
        attempt = begin_attempt(self, name)
        if wrong := self._wrong():
            attempt.failed()
            logins.failed(self.request, name, logins.ADMIN)
            raise ValidationError(wrong)
        attempt.succeeded()

    def _wrong(self) -> dict[str, str]:
        """The field that is not right, and why; empty if both are."""
        if not self.user.check_password(self.cleaned_data["password"]):
            return {"password": "This is not your password."}
        if "code" in self.fields and not second_factor.verify(self.user, self.cleaned_data["code"]):
            return {"code": CodeField.WRONG}
        return {}


def ask(request: HttpRequest) -> HttpResponse | None:
    """None if whoever asks gave the password a moment ago, or gives it with this request; else what
    to answer."""
    is_answer = f"{_OURS}password" in request.POST
    if not sessions.is_fresh(request):
        form = PasswordAgain(request, data=request.POST if is_answer else None)
        if not form.is_valid():
            return _page(request, form)
        sessions.prove(request)
    was_read = request.POST.get(f"{_OURS}is_read") == "True"
    _forget_answer(request)
    return redirect(request.get_full_path()) if is_answer and was_read else None


def _page(request: HttpRequest, form: PasswordAgain) -> HttpResponse:
    sent = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if not name.startswith(_OURS) and name != "csrfmiddlewaretoken"
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Your password, once more",
        "form": form,
        "sent": sent,
        "minutes": sessions.FRESH_SECONDS // 60,
    }
    headers = {"Retry-After": str(form.seconds_to_wait)} if form.seconds_to_wait else {}
    status = 429 if form.seconds_to_wait else 200
    response = TemplateResponse(
        request, "admin/accounts/again.html", context, status=status, headers=headers
    )
    add_never_cache_headers(response)  # it holds what was sent
    return response


def _forget_answer(request: HttpRequest) -> None:
    """What comes after sees what was sent at first, and never the password."""
    if any(name.startswith(_OURS) for name in request.POST):
        request.POST = request.POST.copy()
        for name in [name for name in request.POST if name.startswith(_OURS)]:
            del request.POST[name]
