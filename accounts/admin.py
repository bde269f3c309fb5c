"""Users and executors in the admin. Tokens are issued here and shown once."""

import json
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from accounts import login_codes, operations, questions
from accounts.forms import NEW, REFUSED, THERE, NamesForm, Person
from accounts.models import Executor, Gpu, Platform, User
from accounts.public_address import public_address, public_url
from accounts.signals import account_changed, platform_renamed
from foundation import asking
from foundation.admin import Subject, TelerunModelAdmin
from foundation.asking import Question, is_answered

MOST_SHOWN = 100  # new names of a roster, before they are added

admin.site.unregister(Group)  # staff are staff; there are no finer roles


class BearerAdmin(TelerunModelAdmin):
    """What users and executors have in common: they come by name and bear a token."""

    auth_key: str  # what auth.json calls the name
    actions = ("issue_token", "revoke_token")

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
        form = NamesForm(self.model, request.POST or None)
        question = None
        if form.is_valid():
            question = self._about_adding(form)
            if _is_as_seen(request, form) and is_answered(request, question):
                try:
                    issued = self._create_all(form.those(NEW), request.user.get_username())
                except ValidationError as error:  # somebody else was faster
                    form.add_error("names", error.messages)
                else:
                    return self._tokens_page(request, issued, form.those(THERE))
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

    def question(self, request: HttpRequest, action: str, rows: QuerySet[Any]) -> Question | None:
        if action in ("issue_token", "revoke_token") and (bearers := list(rows)):
            return questions.about_tokens(request, action, bearers)
        return super().question(request, action, rows)

    @transaction.atomic
    def _create_all(self, people: list[Person], actor: str) -> list[tuple[Any, str]]:
        return [self.create(actor, person.name, person.about) for person in people]

    @admin.action(
        description="Issue a new token (shown once; the old one ends)", permissions=["change"]
    )
    def issue_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        actor = request.user.get_username()
        with transaction.atomic():
            issued = [(bearer, operations.issue_token(bearer, actor)) for bearer in queryset]
        return self._tokens_page(request, issued)

    @admin.action(description="Revoke the token", permissions=["change"])
    def revoke_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, operations.revoke_token, "Without a token now")

    def _each(self, request: HttpRequest, bearers: Iterable[Any], operation: Any, now: str) -> None:
        done = list(bearers)
        for bearer in done:
            operation(bearer, actor=request.user.get_username())
        self.message_user(request, f"{now}: {questions.named(done)}.")

    def _tokens_page(
        self, request: HttpRequest, issued: list[tuple[Any, str]], there: list[Person] | None = None
    ) -> HttpResponse:
        """The one sight of the tokens: a page itself, for a message would lie in a cookie."""
        server = public_url() or f"https://{request.get_host()}"
        files = [
            (bearer, json.dumps({self.auth_key: str(bearer), "token": token, "server": server}))
            for bearer, token in issued
        ]
        return self._page(
            request, "tokens.html", title="New tokens", files=files, there=there or []
        )

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        context["media"] = self.media
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

    # --- What staff do is on record ---

    def subject(self, obj: Any) -> Subject:
        return Subject("account", str(obj))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        account_changed.send(
            type(self),
            actor=request.user.get_username(),
            action=f"{obj._meta.model_name}-changed",
            name=str(obj),
            changed=[field for part in message for field in _changed(part)],
        )
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.delete(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


@admin.register(User)
class UserAdmin(BearerAdmin, DjangoUserAdmin):
    """Students and staff. A student has a token and no password."""

    auth_key = "username"
    actions = (*BearerAdmin.actions, "make_login_code")
    list_display = ("username", "first_name", "last_name", "is_active", "has_token", "last_login")
    list_filter = ("is_staff", "is_active")
    readonly_fields = ("token_issued_at", "last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "token_issued_at")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "Rights",
            {
                "fields": ("is_active", "is_staff"),
                "description": "Staff may do everything here, once a password is set for them.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def create(self, actor: str, name: str, about: dict[str, str]) -> tuple[User, str]:
        return operations.create_user(name, actor, **about)

    @admin.action(
        description="Make a log-in code (shown once; for submit.py --login)", permissions=["change"]
    )
    def make_login_code(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> HttpResponse | None:
        actor = request.user.get_username()
        try:
            address = public_address(public_url() or f"https://{request.get_host()}")
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return None
        with transaction.atomic():
            codes = [(user, login_codes.make(user, actor, address)) for user in queryset]
        about = {"days": settings.TELERUN_LOGIN_CODE_DAYS, "server": f"https://{address.address}"}
        return self._page(request, "codes.html", title="Log-in codes", codes=codes, **about)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if "is_staff" in form.changed_data:
            obj.is_superuser = obj.is_staff
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A mistyped name may go; a user who has jobs is made inactive instead."""
        if obj is None or operations.has_belongings.get()(obj):
            return False
        return super().has_delete_permission(request, obj)


class PlatformInline(admin.TabularInline):
    """What an executor offers: to rename, and to restrict."""

    model = Platform
    extra = 0
    can_delete = False
    fields = ("reported", "slots", "runs", "name", "enabled")
    readonly_fields = ("reported", "slots", "runs")
    verbose_name_plural = "platforms"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="languages")
    def runs(self, platform: Platform) -> str:
        return ", ".join(platform.languages) or "-"


@admin.register(Executor)
class ExecutorAdmin(BearerAdmin):
    """GPU hosts: which there are, when they were last heard of, what they report."""

    auth_key = "executor"
    inlines = (PlatformInline,)
    actions = ("disable", "enable", *BearerAdmin.actions)
    list_display = ("name", "enabled", "alive", "heard", "has_token", "sandbox", "gpus", "nvcc")
    list_filter = ("enabled",)
    search_fields = ("name",)
    fields = (
        "name",
        ("enabled", "alive", "last_seen_at"),
        ("created_at", "token_issued_at"),
        "quarantined",
        "report",
    )
    readonly_fields = (
        "enabled",
        "alive",
        "last_seen_at",
        "created_at",
        "token_issued_at",
        "quarantined",
        "report",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Executor]:
        return super().get_queryset(request).prefetch_related("gpus")

    def create(self, actor: str, name: str, about: dict[str, str]) -> tuple[Executor, str]:
        return operations.create_executor(name, actor)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Tells of platforms that have another name now."""
        rows = [one for one in formset.forms if "name" in one.changed_data]
        before = [one.initial.get("name") or one.instance.reported for one in rows]
        super().save_formset(request, form, formset, change)
        actor = request.user.get_username()
        for old, row in zip(before, rows, strict=True):
            platform_renamed.send(type(self), actor=actor, old=old, new=str(row.instance))

    def applies(self, action: str, obj: Executor) -> bool:
        if action in ("enable", "disable"):
            return obj.enabled == (action == "disable")
        return super().applies(action, obj)

    @admin.action(description="Take out of service", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Executor]) -> None:
        put_out = partial(operations.set_enabled, enabled=False)
        self._each(request, queryset, put_out, "Out of service, and may finish what runs")

    @admin.action(description="Put back into service", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Executor]) -> None:
        put_back = partial(operations.set_enabled, enabled=True)
        self._each(request, queryset, put_back, "In service")

    @admin.display(boolean=True)
    def alive(self, executor: Executor) -> bool | None:
        return executor.is_alive

    @admin.display(description="last seen", ordering="last_seen_at")
    def heard(self, executor: Executor) -> str:
        return naturaltime(executor.last_seen_at) or "never"

    @admin.display
    def sandbox(self, executor: Executor) -> SafeString | str:
        if executor.is_unboxed:
            return mark_safe('<span class="wrong">none</span>')
        return str(executor.about.get("sandbox", "-")) if isinstance(executor.about, dict) else "-"

    @admin.display(description="GPUs")
    def gpus(self, executor: Executor) -> SafeString | str:
        counts = Counter(gpu.name or "?" for gpu in executor.gpus.all())
        names = ", ".join(f"{n} {name}" if n > 1 else name for name, n in counts.items()) or "-"
        if quarantined := len(executor.quarantined_gpus):
            wrong = '{}, <span class="wrong">{} quarantined</span>'
            return format_html(wrong, names, quarantined)
        return names

    @admin.display(description="quarantined GPUs")
    def quarantined(self, executor: Executor) -> SafeString | str:
        """Each with why; they come back by themselves."""
        return (
            format_html_join(
                mark_safe("<br>"),
                "{}",
                ((line,) for line in map(_quarantined, executor.quarantined_gpus)),
            )
            or "-"
        )

    @admin.display(description="nvcc")
    def nvcc(self, executor: Executor) -> str:
        return str(executor.about.get("nvcc", "-"))

    @admin.display(description="what it told of itself")
    def report(self, executor: Executor) -> SafeString:
        return format_html('<pre class="text">{}</pre>', json.dumps(executor.about, indent=2))


def _is_as_seen(request: HttpRequest, form: NamesForm) -> bool:
    """Whether somebody who saw what will be added says that it shall be."""
    return "look" not in request.POST and request.POST.get("seen") == form.digest()


def _changed(part: dict[str, Any]) -> list[str]:
    """The fields in a part of Django's message; those of another row with its name."""
    changed = part.get("changed", {})
    row = f"{changed['object']}: " if "object" in changed else ""
    return [row + field for field in changed.get("fields", [])]


def _quarantined(gpu: Gpu) -> str:
    return f"{gpu}: {gpu.reason or '?'}, since {gpu.since or '?'}"
