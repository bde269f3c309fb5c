"""GPU hosts in the admin: what they report, and which platforms they offer."""

from collections import Counter
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime

from accounts import operations
from accounts.admin.bearers import BearerAdmin
from accounts.models import Executor, Gpu, Platform
from accounts.signals import platform_renamed
from foundation.admin import as_json


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

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Each with its label for who does not see the table's head."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = f"{db_field.verbose_name} of the platform"
        return field

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
    search_help_text = "Part of an executor's name."
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
        return str(executor.about.get("nvcc") or "-")

    @admin.display(description="what it told of itself")
    def report(self, executor: Executor) -> SafeString | str:
        return as_json(executor.about)


def _quarantined(gpu: Gpu) -> str:
    """Since when, as other times on the page, if the host's text is one; and why."""
    try:
        moment = parse_datetime(gpu.since)
    except ValueError:
        moment = None
    is_known = moment is not None and moment.tzinfo
    since = f"{localtime(moment):%Y-%m-%d %H:%M:%S}" if is_known else gpu.since or "?"
    return f"{gpu}, since {since}: {gpu.reason or '?'}"
