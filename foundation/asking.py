"""Asking before an action of the admin is done: a page that says what will happen.

The page holds the keys of the rows that it speaks of: what is done is what was shown, whatever has
come into the list since. More than a few rows are confirmed by typing how many they are.
"""

import re
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from foundation import ranges

FEW = 10  # rows that an action takes without a question
MOST = 20_000  # rows that one action takes; SQLite takes 32,766 values in a statement


class Question(NamedTuple):
    """What is shown before something is done."""

    title: str  # "Run 12 jobs again"
    count: int  # of the rows; what is typed in
    facts: tuple[tuple[str, str], ...] = ()  # "Of the state finished": "9"
    warnings: tuple[str, ...] = ()
    must_type: bool = False
    error: str = ""
    word: str = ""  # what is typed in place of the count
    state: str = ""  # a digest of what is lost: where it has changed, the question is asked again

    @property
    def is_typed(self) -> bool:
        """Whether the count, or the word, is to be typed in."""
        return self.must_type or bool(self.word) or self.count > FEW

    @property
    def wanted(self) -> str:
        """What is to be typed in."""
        return self.word or str(self.count)


def choice(action: str, keys: list[int]) -> dict[str, Any]:
    """What a form sends to a list for an action on these rows."""
    return {
        "action": action,
        "chosen": ranges.written(keys),
        # What Django's list looks for; the keys stand in `chosen`.
        ACTION_CHECKBOX_NAME: keys[0] if keys else "",
        "select_across": "1",
    }


def is_answered(request: HttpRequest, question: Question) -> bool:
    """Whether the request comes from the question's page, with what was to be typed."""
    if "confirmed" not in request.POST or question.error:
        return False
    if request.POST.get("state", "") != question.state:
        return False
    return not question.is_typed or _typed(request, question) == question.wanted


def shown_at(request: HttpRequest) -> datetime | None:
    """When the question was shown that is answered; None if that is not known."""
    try:
        moment = parse_datetime(request.POST.get("shown_at", ""))
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _typed(request: HttpRequest, question: Question) -> str:
    if question.word:
        return request.POST.get("count", "").strip()
    return re.sub(r"[\s,.'\u2019]", "", request.POST.get("count", ""))  # 18,753 is one number


_CHANGED = "What is lost has changed since this was shown. Look at it again."


class AsksFirst:
    """Puts a question before each action of a model's admin that has one, and before every action
    on more than a few rows."""

    def question(self, request: HttpRequest, action: str, rows: QuerySet[Any]) -> Question | None:
        """What is asked before `action` is done to `rows`; None: nothing, if they are few."""
        return None

    def objection(self, request: HttpRequest, action: str, rows: QuerySet[Any]) -> str:
        """Why who asks may not do `action` to these rows, though the right to it is there; "" if
        nothing is against it."""
        return ""

    def before(self, request: HttpRequest, action: str) -> HttpResponse | None:
        """A page that must be gone through before `action`; None if there is none."""
        return None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each with its question before it."""
        actions = super().get_actions(request)  # type: ignore[misc]
        return {
            name: (partial(_ask_first, action=name, words=words, function=function), name, words)
            for name, (function, _, words) in actions.items()
        }

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Does to the rows what was asked about them, if the request comes from a question."""
        if (chosen := request.POST.get("chosen")) is not None:
            try:
                keys = ranges.read(chosen, MOST)
            except ValueError:
                return self.refuse(request, "There is no such row.")
            rows = self.get_queryset(request)  # type: ignore[attr-defined]
            queryset = rows.filter(pk__in=keys)
        return super().response_action(request, queryset)  # type: ignore[misc]

    def refuse(self, request: HttpRequest, why: str) -> None:
        """Says why nothing was done."""
        self.message_user(request, why, messages.ERROR)  # type: ignore[attr-defined]

    def ask(
        self, request: HttpRequest, question: Question, action: str, keys: list[int]
    ) -> HttpResponse:
        """The page."""
        has_typed = "confirmed" in request.POST and not question.error
        has_changed = has_typed and request.POST.get("state", "") != question.state
        hidden = {
            **choice(action, keys),
            "confirmed": "1",
            "state": question.state,
            "shown_at": timezone.now().isoformat(),
            **{name: request.POST[name] for name in ("button_of",) if name in request.POST},
        }
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": question.title,
            "question": question,
            "hidden": hidden,
            "error": question.error
            or (_CHANGED if has_changed else f"Type {question.wanted}." if has_typed else ""),
            "button_of": hidden.get("button_of", ""),
        }
        return TemplateResponse(request, "admin/question.html", context)


def _ask_first(
    admin: Any, request: HttpRequest, rows: QuerySet[Any], action: str, words: str, function: Any
) -> Any:
    """The action, or the page with its question."""
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
    if len(keys) > MOST:
        return admin.refuse(
            request,
            f"That is more than {MOST:,} rows, and one action takes no more. Nothing was done; "
            "narrow the list by a filter or a search.",
        )
    if why_not := admin.objection(request, action, rows):
        return admin.refuse(request, why_not)
    if page := admin.before(request, action):
        return page
    if action == "delete_selected" and "post" in request.POST:  # Django's own page has asked
        return function(admin, request, rows)
    question = admin.question(request, action, rows)
    if question is None and len(keys) > FEW:
        question = Question(f"{words}: {len(keys):,} {admin.opts.verbose_name_plural}", len(keys))
    if question is None or is_answered(request, question):
        return function(admin, request, rows)
    return admin.ask(request, question, action, keys)
