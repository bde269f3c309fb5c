"""What the pages of users and executors have in common. Tokens are issued here and shown once."""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import fresh, operations
from accounts.admin import questions
from accounts.forms import NEW, REFUSED, THERE, NamesForm, Person
from accounts.models import Executor, User
from accounts.public_address import public_url
from accounts.recorded import gathered
from foundation import asking
from foundation.admin import Subject, TelerunModelAdmin
from foundation.asking import Question, is_answered

log = logging.getLogger(__name__)

MOST_SHOWN = 100  # new names of a roster, before they are added


class Made(NamedTuple):
    """What was made for whom, and for whom it could not be, with why."""

    done: list[tuple[Any, Any]]
    refused: list[tuple[Any, str]]


def one_by_one(those: Iterable[Any], make: Callable[[Any], Any]) -> Made:
    """Each in a transaction of its own: students' requests pass in between, and what has been made
    is shown whatever becomes of the rest."""
    done: list[tuple[Any, Any]] = []
    refused: list[tuple[Any, str]] = []
    for one in list(those):
        try:
            with transaction.atomic():
                done.append((one, make(one)))
        except ValidationError as error:  # somebody else was faster
            refused.append((one, " ".join(error.messages)))
        except DatabaseError as error:
            log.warning("Nothing was made for %s: %s", one, str(error).strip())
            refused.append((one, "The database was busy, or it is gone. Try again."))
    return Made(done, refused)


class BearerAdmin(TelerunModelAdmin):
    """What users and executors have in common: they come by name and bear a token."""

    auth_key: str  # what auth.json calls the name
    actions = ("issue_token", "revoke_token")
    takes_fresh_log_in = ("issue_token",)  # actions that give a secret, or take something for good

    def create(self, actor: str, name: str, about: dict[str, str]) -> tuple[Any, str]:
        """A new bearer and its token. Raises ValidationError."""
        raise NotImplementedError

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Takes one name or a whole roster, shows what was understood, and then adds them and
        answers with the tokens."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NamesForm(self.model, request.POST or None, request.FILES or None)
        if form.is_valid():
            request.POST = form.data  # a file's text too: what asks for the password keeps no file
            if page := fresh.ask(request):
                return page
        question = None
        if form.is_valid():
            question = self._about_adding(form)
            if _is_as_seen(request, form) and is_answered(request, question):
                actor = request.user.get_username()
                made = one_by_one(
                    form.those(NEW), lambda one: self.create(actor, one.name, one.about)
                )
                issued = [pair for _, pair in made.done]
                return self._tokens_page(request, issued, made.refused, form.those(THERE))
        return self._names_page(request, form, question)

    def _about_adding(self, form: NamesForm) -> Question:
        count = len(form.those(NEW))
        what = self._plural if count > 1 else self.opts.verbose_name
        return Question(f"Add {count:,} {what}, and show their tokens", count)

    def _names_page(
        self, request: HttpRequest, form: NamesForm, question: Question | None
    ) -> HttpResponse:
        there = form.those(THERE)
        return self._page(
            request,
            "names.html",
            title=f"Add {self._plural}",
            form=form,
            question=question,
            is_untyped=_is_as_seen(request, form),
            new=form.those(NEW)[:MOST_SHOWN],
            more=max(0, len(form.those(NEW)) - MOST_SHOWN),
            refused=form.those(REFUSED),
            there=there,
            there_chosen=self._chosen(there),
        )

    def _chosen(self, there: list[Person]) -> dict[str, Any]:
        """What the button sends that issues new tokens for those who are there."""
        keys = [person.key for person in there]
        return asking.choice("issue_token", keys) if keys else {}

    def before(self, request: HttpRequest, action: str) -> HttpResponse | None:
        return fresh.ask(request) if action in self.takes_fresh_log_in else None

    def question(self, request: HttpRequest, action: str, rows: QuerySet[Any]) -> Question | None:
        if action in ("issue_token", "revoke_token") and (bearers := list(rows)):
            return questions.about_tokens(request, action, bearers)
        return super().question(request, action, rows)

    @admin.action(
        description="Issue a new token (shown once; the old one ends)", permissions=["change"]
    )
    def issue_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        actor = request.user.get_username()
        issued = one_by_one(queryset, lambda bearer: operations.issue_token(bearer, actor))
        return self._tokens_page(request, issued.done, issued.refused)

    @admin.action(description="Revoke the token", permissions=["change"])
    def revoke_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, operations.revoke_token, "Without a token now")

    def _each(self, request: HttpRequest, bearers: Iterable[Any], operation: Any, now: str) -> None:
        done = list(bearers)
        for bearer in done:
            operation(bearer, actor=request.user.get_username())
        self.message_user(request, f"{now}: {questions.named(done)}.")

    def _tokens_page(
        self,
        request: HttpRequest,
        issued: list[tuple[Any, str]],
        refused: list[tuple[Any, str]],
        there: list[Person] | None = None,
    ) -> HttpResponse:
        """The one sight of the tokens: a page itself, for a message would lie in a cookie."""
        server = public_url() or f"https://{request.get_host()}"
        files = [
            (bearer, json.dumps({self.auth_key: str(bearer), "token": token, "server": server}))
            for bearer, token in issued
        ]
        about = {"title": "New tokens", "files": files, "refused": refused, "there": there or []}
        return self._page(request, "tokens.html", **about)

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/accounts/{template}", context)

    @property
    def _plural(self) -> str:
        return str(self.opts.verbose_name_plural)

    @admin.display(boolean=True, description="token")
    def has_token(self, bearer: User | Executor) -> bool:
        return bearer.token_digest is not None

    def applies(self, action: str, obj: Any) -> bool:
        if action == "revoke_token":
            return self.has_token(obj)
        return super().applies(action, obj)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """No filter tells what a token's digest is."""
        return not lookup.startswith("token_digest") and super().lookup_allowed(
            lookup, value, request
        )

    # --- What staff do is on record ---

    def subject(self, obj: Any) -> Subject:
        return Subject("account", str(obj))

    def _changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        """In Django's transaction: a row with those below it is one entry."""
        with gathered():
            return super()._changeform_view(*args, **kwargs)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.delete(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


def _is_as_seen(request: HttpRequest, form: NamesForm) -> bool:
    """Whether somebody who saw what will be added says that it shall be."""
    return "look" not in request.POST and request.POST.get("seen") == form.digest()
