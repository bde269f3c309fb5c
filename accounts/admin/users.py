"""Students and staff in the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest

from accounts import operations
from accounts.admin.bearers import BearerAdmin
from accounts.models import User


@admin.register(User)
class UserAdmin(BearerAdmin, DjangoUserAdmin):
    """Students and staff. A student has a token and no password."""

    auth_key = "username"
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

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if "is_staff" in form.changed_data:
            obj.is_superuser = obj.is_staff
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A mistyped name may go; a user who has jobs is made inactive instead."""
        if obj is None or operations.has_belongings.get()(obj):
            return False
        return super().has_delete_permission(request, obj)
