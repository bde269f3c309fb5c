"""What the admin pages of all apps have in common."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from foundation.asking import AsksFirst
from foundation.database import time_limit
from foundation.hooks import Hook
from foundation.lists import BoundedPaginator, KeysFirst
from foundation.text import printable

log = logging.getLogger(__name__)

MAX_SEARCH_WORDS = 8
MOST_SECONDS = 3.0  # that the database works for a list
_KEY = re.compile(r"[0-9]{1,18}")  # what fits the database's integers


class Subject(NamedTuple):
    """What an entry of the audit log is about."""

    kind: str  # "job" or "account"
    key: int | str  # the job's id, the account's name


# Where the audit log's entries about a subject are.
history_address: Hook[Callable[[Subject], str]] = Hook("the history's address")


def as_text(data: bytes) -> SafeString | str:
    """Untrusted bytes, as a terminal would show them."""
    return format_html('<pre class="text" tabindex="0">{}</pre>', printable(data)) if data else "-"


def as_json(value: Any) -> SafeString | str:
    """JSON with names as people read them; what could pass for something else is spelled out."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return as_text(text.encode("utf-8", "surrogatepass")) if value else "-"


class ReadOnlyMixin:
    """Nothing here is added, changed or deleted by hand."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


class TelerunModelAdmin(AsksFirst, admin.ModelAdmin):
    """A page of one object has the list's actions as buttons; its history is the audit log's.

    A list stays quick however long its table is (foundation/lists.py).
    """

    change_form_template = "admin/telerun_change_form.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count each filter's rows

    def applies(self, action: str, obj: Any) -> bool:
        """Whether the page of `obj` offers that action."""
        return action != "delete_selected"

    def buttons(self, request: HttpRequest, obj: Any) -> list[tuple[str, str]]:
        """The actions that the page of `obj` offers: their names and words."""
        actions = self.get_actions(request).values()
        return [(name, words) for _, name, words in actions if self.applies(name, obj)]

    def subject(self, obj: Any) -> Subject:
        """What the audit log calls `obj`."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["buttons"] = self.buttons(request, kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Refuses a form that asks for a copy: Django would make one though no page offers it."""
        if object_id is not None and "_saveasnew" in request.POST and not self.save_as:
            raise PermissionDenied
        return super().changeform_view(request, object_id, *args, **kwargs)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Goes back to the page that the button was on; refuses keys that are none."""
        keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(_KEY.fullmatch(key) for key in keys):
            self.message_user(request, "There is no such row.", messages.ERROR)
            return None
        response = super().response_action(request, queryset)
        if "button_of" in request.POST and isinstance(response, HttpResponseRedirect):
            return redirect(self._url("change", quote(request.POST["button_of"])))
        return response

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Gives up what takes too long: other pages wait for it."""
        if request.method != "GET":
            return super().changelist_view(request, extra_context)
        try:
            with time_limit.at_most(MOST_SECONDS):
                response = super().changelist_view(request, extra_context)
                return response.render() if hasattr(response, "render") else response
        except time_limit.TakesTooLong:
            log.warning("A list took longer than %s s: %s", MOST_SECONDS, request.path)
            about = {**self.admin_site.each_context(request), "title": "This takes too long"}
            about |= {"opts": self.opts, "seconds": MOST_SECONDS}
            return TemplateResponse(request, "admin/too_long.html", about, status=503)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysFirst

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """PostgreSQL refuses some filters, with a NUL for example, only when the query runs."""
        try:
            return super().get_changelist_instance(request)
        except DataError as error:
            raise IncorrectLookupParameters from error

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Looks for the first few words: a database refuses a question of a thousand."""
        words = " ".join(search_term.split()[:MAX_SEARCH_WORDS])
        return super().get_search_results(request, queryset, words)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return redirect(history_address.get()(self.subject(obj)))

    def _url(self, view: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}", args=args)
