"""The page where staff set up their second factor, and where an owner says who must have one."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.http import require_POST, require_safe
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import fresh, second_factor, sessions
from accounts.forms import CodeForm
from accounts.models import SecondFactorPolicy
from accounts.roles import is_owner
from accounts.views.log_in import with_wait

PAGE = "admin:second_factor"
_BEGUN = "telerun_phone"  # the key of the secret that the session was shown


class PolicyForm(forms.ModelForm):
    """Who must have a second factor."""

    class Meta:
        model = SecondFactorPolicy
        fields = ("required_of",)
        labels: ClassVar[dict[str, str]] = {"required_of": "Required of"}


def paths(site: admin.AdminSite) -> list[Any]:
    """The addresses, for the site's own."""
    return [
        path("second-factor/", site.admin_view(page), name="second_factor"),
        path("second-factor/qr.svg", site.admin_view(picture), name="second_factor_picture"),
        path("second-factor/codes/", site.admin_view(make_codes), name="second_factor_codes"),
        path("second-factor/remove/", site.admin_view(remove), name="second_factor_remove"),
        path("second-factor/policy/", site.admin_view(set_policy), name="second_factor_policy"),
    ]


def page(request: HttpRequest) -> HttpResponse:
    """Whether it is on; if not, how to set it up: the secret, and a first code."""
    if second_factor.is_on(request.user):
        left = second_factor.recovery_codes_left(request.user)
        return _page(request, "second_factor.html", left=left)
    if asked := fresh.ask(request):
        return asked
    device = _begun_here(request)
    form = CodeForm(request, request.user, verify=second_factor.confirm, data=request.POST or None)
    if form.is_valid():
        sessions.stay(request, request.user)
        return _codes_page(request, form.verified)
    return _page(request, "second_factor.html", form=form, secret=second_factor.secret_of(device))


@require_safe
def picture(request: HttpRequest) -> HttpResponse:
    """The QR code, while the second factor is being set up; never kept."""
    if second_factor.is_on(request.user) or not sessions.is_fresh(request):
        raise Http404
    image = second_factor.picture_of(_begun_here(request))
    return HttpResponse(image, content_type="image/svg+xml")


@require_POST
def make_codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes."""
    if asked := fresh.ask(request):
        return asked
    if not second_factor.is_on(request.user):
        return redirect(PAGE)
    return _codes_page(request, second_factor.new_recovery_codes(request.user))


@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """One's own."""
    if asked := fresh.ask(request):
        return asked
    if second_factor.remove(request.user, request.user.get_username()):
        sessions.stay(request, request.user)
        messages.success(request, "Your second factor is removed.")
    return redirect(PAGE)


@require_POST
def set_policy(request: HttpRequest) -> HttpResponse:
    """Who must have one: an owner says so."""
    if not is_owner(request):
        raise PermissionDenied
    if asked := fresh.ask(request):
        return asked
    form = PolicyForm(request.POST)
    if form.is_valid():
        whom = second_factor.RequiredOf(form.cleaned_data["required_of"])
        second_factor.require_of(whom, request.user.get_username())
        messages.success(request, f"A second factor is required of {whom.label}.")
    else:
        messages.error(request, "Choose who must have a second factor.")
    return redirect(PAGE)


def _begun_here(request: HttpRequest) -> TOTPDevice:
    """The secret that this session began with: of one that was shown in another session, nobody
    knows who saw it."""
    device = second_factor.begin(request.user)
    if request.session.get(_BEGUN) != device.pk:
        device = second_factor.begin(request.user, anew=True)
        request.session[_BEGUN] = device.pk
    return device


def _codes_page(request: HttpRequest, codes: list[str]) -> HttpResponse:
    """The one sight of the recovery codes."""
    return _page(request, "recovery_codes.html", codes=codes)


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Second factor",
        "must": second_factor.is_missing(request.user),
        **context,
    }
    if is_owner(request):
        initial = {"required_of": second_factor.required_of()}
        without = [str(user) for user in second_factor.without_one()]
        context |= {"policy": PolicyForm(initial=initial), "without": without}
    response = TemplateResponse(request, f"admin/accounts/{template}", context)
    return with_wait(response, context["form"]) if "form" in context else response
