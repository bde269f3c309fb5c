"""Bulk actions in the admin: how far they are; to stop."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from foundation.admin import ReadOnlyMixin, Subject, TelerunModelAdmin
from foundation.figures import counted
from jobs.bulk import working
from jobs.models import BulkAction

MOST_CHARACTERS = 1000  # of the jobs' numbers; the audit log has all


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyMixin, TelerunModelAdmin):
    """What staff do to many jobs at once, newest first."""

    list_display = ("id", "what", "actor", "begun_at", "standing", "done", "refused", "left")
    actions = ("stop",)
    fields = (
        ("what", "actor", "begun_at"),
        ("standing", "ended_at"),
        ("count", "done", "refused", "left"),
        "numbers",
    )
    readonly_fields = ("what", "standing", "left", "numbers")

    def get_queryset(self, request: HttpRequest) -> QuerySet[BulkAction]:
        """Without the jobs' numbers, of which there may be 20,000."""
        return super().get_queryset(request).defer("jobs")

    def subject(self, obj: BulkAction) -> Subject:
        return Subject("account", str(obj))

    def applies(self, action: str, obj: BulkAction) -> bool:
        return action == "stop" and obj.ended_at is None

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may begin one may stop it."""
        return request.user.has_perm("jobs.change_job") or _may_stop_all(request)

    def objection(self, request: HttpRequest, action: str, rows: QuerySet[BulkAction]) -> str:
        others = rows.exclude(actor=request.user.get_username())
        if _may_stop_all(request) or not others.exists():
            return ""
        return "Nothing was stopped: what somebody else began, a head TA or an owner stops."

    def buttons(self, request: HttpRequest, obj: BulkAction) -> list[tuple[str, str]]:
        is_own = obj.actor == request.user.get_username()
        return super().buttons(request, obj) if is_own or _may_stop_all(request) else []

    @admin.display(description="what")
    def what(self, bulk: BulkAction) -> str:
        return f"{bulk.get_kind_display().capitalize()}: {counted(bulk.count, 'job')}"

    @admin.display(description="state")
    def standing(self, bulk: BulkAction) -> str:
        if bulk.ended_at is None:
            return "At work, or waits until the queue is short"
        return f"Stopped by {bulk.stopped_by}" if bulk.stopped_by else "Done"

    @admin.display(description="not done")
    def left(self, bulk: BulkAction) -> int:
        return bulk.left

    @admin.display(description="jobs")
    def numbers(self, bulk: BulkAction) -> str:
        return Truncator(bulk.jobs.replace(",", ", ")).chars(MOST_CHARACTERS)

    @admin.action(description="Stop: what is left stays as it is", permissions=["act"])
    def stop(self, request: HttpRequest, queryset: QuerySet[BulkAction]) -> None:
        actor = request.user.get_username()
        stopped = [str(bulk) for bulk in queryset if working.stop(bulk.pk, actor)]
        self.message_user(request, f"Stopped: {', '.join(stopped) or 'none'}.")


def _may_stop_all(request: HttpRequest) -> bool:
    return request.user.has_perm("jobs.change_bulkaction")
