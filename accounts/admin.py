"""Users and executors in the admin. Tokens are issued here and shown once."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import operations
from accounts.models import Executor, User
from accounts.signals import account_changed

admin.site.unregister(Group)  # staff are staff; there are no finer roles


class TokenAdminMixin:
    """The actions that issue and revoke tokens, for any bearer of one."""

    actions = ("issue_token", "revoke_token")

    @admin.action(description="Issue a new token (shown once; replaces the old one)")
    def issue_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Answers with the page itself: a token put in a message would lie in a cookie."""
        actor = request.user.get_username()
        issued = [(str(bearer), operations.issue_token(bearer, actor)) for bearer in queryset]
        key = "executor" if queryset.model is Executor else "username"
        response = TemplateResponse(
            request,
            "admin/accounts/tokens.html",
            {
                **admin.site.each_context(request),
                "title": "New tokens",
                "opts": queryset.model._meta,
                "issued": issued,
                "key": key,
            },
        )
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke the token")
    def revoke_token(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for bearer in queryset:
            operations.revoke_token(bearer, request.user.get_username())
        self.message_user(request, f"Revoked the tokens of {len(queryset)}.")

    @admin.display(boolean=True, description="token")
    def has_token(self, bearer: User | Executor) -> bool:
        return bearer.token_digest is not None

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, obj, "created")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, obj, "changed")
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._record(request, obj, "deleted")
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, obj: Any, what: str) -> None:
        actor = request.user.get_username()
        action = f"{obj._meta.model_name}-{what}"
        account_changed.send(type(self), actor=actor, action=action, name=str(obj))


class PasswordlessCreationForm(AdminUserCreationForm):
    """A new user has no password unless one is chosen: students have tokens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["usable_password"].initial = "false"
        for name in ("password1", "password2"):
            self.fields[name].required = False


@admin.register(User)
class UserAdmin(TokenAdminMixin, DjangoUserAdmin):
    """Students and staff."""

    add_form = PasswordlessCreationForm
    list_display = ("username", "first_name", "last_name", "is_staff", "is_active", "has_token")
    list_filter = ("is_staff", "is_active")
    readonly_fields = ("token_issued_at", "last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", "token_issued_at")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )


@admin.register(Executor)
class ExecutorAdmin(TokenAdminMixin, admin.ModelAdmin):
    """GPU hosts: which there are, when they were last heard of, what they told."""

    list_display = ("name", "enabled", "last_seen_at", "has_token", "gpus", "nvcc")
    list_filter = ("enabled",)
    search_fields = ("name",)
    readonly_fields = ("created_at", "last_seen_at", "token_issued_at", "about")

    @admin.display(description="GPUs")
    def gpus(self, executor: Executor) -> str:
        return ", ".join(gpu.get("name", "?") for gpu in executor.about.get("gpus", [])) or "-"

    @admin.display(description="nvcc")
    def nvcc(self, executor: Executor) -> str:
        return str(executor.about.get("nvcc", "-"))
