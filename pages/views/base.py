"""What all pages have in common: nobody keeps them, and whoever is not logged in is asked to."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from accounts.models import User
from foundation.problems import NotFound, Problem
from pages import sessions
from pages.large import counted


@method_decorator(never_cache, name="dispatch")
class AnyonesPage(View):
    """A page that needs no log-in."""

    def render(self, template: str, status: int = 200, **context: Any) -> HttpResponse:
        """The page, or a part of one."""
        context = {"time_zone": settings.TIME_ZONE, **context}
        return render(self.request, f"pages/{template}", context, status=status)


class Page(AnyonesPage):
    """A page of the user who is logged in."""

    user: User

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """What is refused is said on a page; somebody else's is not found."""
        user = sessions.user_of(request)
        if user is None:
            return ask_to_log_in(request)
        self.user = user
        try:
            return counted(user, super().dispatch(request, *args, **kwargs))
        except NotFound as error:
            raise Http404(str(error)) from None
        except Problem as error:
            return self.render("refused.html", error.status, words=str(error))

    def render(self, template: str, status: int = 200, **context: Any) -> HttpResponse:
        return super().render(template, status, student=self.user, **context)


def ask_to_log_in(request: HttpRequest) -> HttpResponse:
    """Leads to the log-in, and back from it; a part of a page is left for it as a whole."""
    if "HX-Request" in request.headers:
        return HttpResponse(status=403, headers={"HX-Redirect": resolve_url("page-login")})
    login = resolve_url("page-login")
    is_start = request.path == resolve_url("page")
    return redirect(login if is_start else f"{login}?{urlencode({'next': request.path}, safe='/')}")
