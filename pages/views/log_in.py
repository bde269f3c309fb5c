"""Logging in, with name and token or by a link, and out."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from accounts import failures, logins
from accounts.authentication import bearer_of
from accounts.errors import InvalidToken, UnknownToken
from accounts.models import User
from foundation.problems import Problem
from pages import links, sessions
from pages.views.base import AnyonesPage

_LINK_IS_OVER = UnknownToken(
    "This link is over: it works once, within a minute. Ask for a new one, or log in here."
)


@method_decorator(sensitive_post_parameters("token", "secret"), name="dispatch")
class _LogIn(AnyonesPage):
    def begin(self, user: User) -> HttpResponse:
        """Logs in, and leads to where the user wanted to go."""
        response = redirect(_wanted(self.request))
        sessions.begin(self.request, response, user)
        logins.succeeded(self.request, user, logins.PAGE)
        return response

    def wrong(self, error: UnknownToken, name: str = "") -> HttpResponse:
        """The form again, after something that nobody has; or that too much of it came."""
        problem = failures.count_wrong_token(self.request, error)
        if problem is error:
            logins.failed(self.request, name, logins.PAGE)
        else:
            address = failures.address_of(self.request)
            logins.refused(self.request, name, logins.PAGE, f"wrong tokens from {address}")
        return self.ask(problem, name=name)

    def ask(self, problem: Problem | None = None, **context: Any) -> HttpResponse:
        """The form; with what was wrong, if something was."""
        status = problem.status if problem else 200
        context = {"words": problem and str(problem), "next": _wanted(self.request), **context}
        # 401 would ask for a header that no browser sends.
        response = self.render("login.html", 403 if status == 401 else status, **context)
        if problem and "Retry-After" in problem.headers:
            response["Retry-After"] = problem.headers["Retry-After"]
        return response


class LogIn(_LogIn):
    """`/login`: with the name and the token that stand in auth.json."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect(_wanted(request)) if sessions.user_of(request) else self.ask()

    def post(self, request: HttpRequest) -> HttpResponse:
        name = User.normalize_username(request.POST.get("username", "").strip())
        try:
            return self.begin(_user_with(name, request.POST.get("token", "").strip()))
        except UnknownToken as error:
            return self.wrong(error, name)
        except InvalidToken as error:
            logins.failed(request, name, logins.PAGE)
            return self.ask(error, name=name)


class FromLink(_LogIn):
    """`/link`: a script of the page sends the secret that stands behind the `#`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.render("link.html")

    def post(self, request: HttpRequest) -> HttpResponse:
        if user := links.use(request.POST.get("secret", "")):
            return self.begin(user)
        return self.wrong(_LINK_IS_OVER)


class LogOut(AnyonesPage):
    """`/logout`."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        if user := sessions.user_of(request):
            logins.ended(request, user, logins.PAGE)
        sessions.end(request)
        response = redirect("page-login")
        sessions.forget(request, response)
        return response


def _user_with(name: str, token: str) -> User:
    """The user of that name and token. Raises InvalidToken."""
    user = bearer_of(token)
    if not isinstance(user, User):
        raise InvalidToken("This is a GPU host's token. Log in with the one in your auth.json.")
    if user.username != name:
        raise InvalidToken(
            "This token is not that user's. Name and token stand together in your auth.json."
        )
    return user


def _wanted(request: HttpRequest) -> str:
    """The page of ours that the user wants to see."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, None)
    return wanted if is_ours else resolve_url("page")
