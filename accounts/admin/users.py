"""Students and staff in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts import login_codes, operations, purging
from accounts.admin import questions
from accounts.admin.bearers import BearerAdmin, one_by_one
from accounts.models import User
from accounts.public_address import public_address, public_url
from foundation.asking import Question


@admin.register(User)
class UserAdmin(BearerAdmin, DjangoUserAdmin):
    """Students and staff. A student has a token and no password."""

    auth_key = "username"
    actions = (*BearerAdmin.actions, "make_login_code", "purge")
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

    def question(self, request: HttpRequest, action: str, rows: QuerySet[User]) -> Question | None:
        if action == "make_login_code" and (lost := login_codes.unused(rows)):
            return questions.about_codes(list(rows), lost)
        if action == "purge":
            return questions.about_purging(list(rows[:2]))
        return super().question(request, action, rows)

    def applies(self, action: str, obj: User) -> bool:
        if action == "purge":
            return not obj.username.startswith(purging.PREFIX)
        return super().applies(action, obj)

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.purge_user")

    @admin.action(description="Purge: forget this person for good", permissions=["purge"])
    def purge(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        try:
            purged = purging.purge.get()(queryset.get().username, request.user.get_username())
        except (ValidationError, purging.Unfinished) as error:
            self.message_user(
                request, " ".join(getattr(error, "messages", [str(error)])), messages.ERROR
            )
            return None
        self.message_user(request, purged.words)
        for note in purged.notes:
            self.message_user(request, note, messages.WARNING)
        return None

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
        made = one_by_one(queryset, lambda user: login_codes.make(user, actor, address))
        about = {"days": settings.TELERUN_LOGIN_CODE_DAYS, "server": f"https://{address.address}"}
        about |= {"codes": made.done, "refused": made.refused}
        return self._page(request, "codes.html", title="Log-in codes", **about)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if "is_staff" in form.changed_data:
            obj.is_superuser = obj.is_staff
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A mistyped name may go; a user who has jobs is made inactive instead."""
        if obj is None or operations.has_belongings.get()(obj):
            return False
        return super().has_delete_permission(request, obj)
