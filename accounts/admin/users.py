"""Students and staff in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from accounts import fresh, login_codes, operations, purging, roles, second_factor, sessions
from accounts.admin import questions
from accounts.admin.bearers import BearerAdmin, one_by_one
from accounts.admin.staff_form import StaffForm, UserForm
from accounts.models import PURGED, User
from accounts.public_address import public_address, public_url
from foundation.asking import FEW, Question
from foundation.figures import size

_OF_FORGOTTEN = (
    "purge",
    "delete_selected",
)  # actions on who was purged: what was broken off goes on


@admin.register(User)
class UserAdmin(BearerAdmin, DjangoUserAdmin):
    """Students and staff. A student has a token and no password. Only owners touch staff."""

    auth_key = "username"
    actions = (*BearerAdmin.actions, "make_login_code", "remove_second_factor", "purge")
    takes_fresh_log_in = (
        *BearerAdmin.takes_fresh_log_in, "make_login_code", "remove_second_factor", "purge",
    )  # fmt: skip
    list_display = (
        "username", "first_name", "last_name", "role_now", "is_active", "has_token", "kept",
        "last_login",
    )  # fmt: skip
    list_filter = ("is_staff", "is_active")
    search_help_text = (
        "Part of a name or of an e-mail address. Several words: users that fit them all."
    )
    readonly_fields = (
        "role_now", "second_factor", "token_issued_at", "last_login", "date_joined", "submitted",
        "kept",
    )  # fmt: skip
    filter_horizontal = ()
    form = UserForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        users = super().get_queryset(request).prefetch_related("groups")
        return users.annotate(kept_bytes=operations.kept_bytes.get())

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """The role and the password are an owner's to give."""
        owner = roles.is_owner(request)
        return (
            (None, {"fields": ("username", *(["password"] if owner else []), "token_issued_at")}),
            ("Person", {"fields": ("first_name", "last_name", "email")}),
            ("Rights", {"fields": ("is_active", "role" if owner else "role_now", "second_factor")}),
            ("Dates", {"fields": ("last_login", "date_joined")}),
            ("Jobs", {"fields": ("submitted", "kept")}),
        )

    def get_form(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> Any:
        form = StaffForm if roles.is_owner(request) else UserForm
        about = {"is_active": "Off: nobody can log in or submit under this name."}
        return super().get_form(request, obj, **{"form": form, "help_texts": about, **kwargs})

    # --- Who may touch whom ---

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody's, where the person was purged: a form that was open before holds the name."""
        if obj is not None and obj.is_forgotten:
            return False
        may = super().has_change_permission(request, obj)
        return may and self._may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A mistyped name may go; a user who has jobs is made inactive instead."""
        if obj is None or operations.has_belongings.get()(obj):
            return False
        return super().has_delete_permission(request, obj) and self._may_touch(request, obj)

    def has_own_permission(self, request: HttpRequest) -> bool:
        """For actions that are an owner's."""
        return roles.is_owner(request)

    def _may_touch(self, request: HttpRequest, obj: User | None) -> bool:
        return obj is None or not roles.is_protected(obj) or roles.is_owner(request)

    def objection(self, request: HttpRequest, action: str, rows: QuerySet[User]) -> str:
        if action not in _OF_FORGOTTEN and (gone := list(rows.filter(username__startswith=PURGED))):
            verb = "is" if len(gone) == 1 else "are"
            return f"Nothing was done: {questions.named(gone)} {verb} forgotten."
        if roles.is_owner(request):
            return ""
        staff = list(User.objects.filter(roles.PROTECTED, pk__in=rows.order_by().values("pk")))
        if not staff:
            return ""
        return (
            f"Nothing was done: {questions.named(staff)} "
            f"{'is' if len(staff) == 1 else 'are'} staff, and only an owner may do that to staff."
        )

    def buttons(self, request: HttpRequest, obj: User) -> list[tuple[str, str]]:
        return super().buttons(request, obj) if self._may_touch(request, obj) else []

    # --- Pages ---

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Another role takes a fresh log-in."""
        if request.method == "POST" and roles.is_owner(request):
            user = self.get_object(request, unquote(object_id))
            role = request.POST.get("role")
            is_new = user and role and role != StaffForm.role_value(user)
            if is_new and (page := fresh.ask(request)):
                return page
        return super().change_view(request, object_id, *args, **kwargs)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Says why the last owner is not deleted."""
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return redirect(self._url("change", object_id))

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """An owner's to set."""
        if not roles.is_owner(request):
            raise PermissionDenied
        return fresh.ask(request) or super().user_change_password(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if isinstance(form, StaffForm) and form.changes_role:
            if not sessions.is_fresh(request):  # whatever way led here
                raise PermissionDenied
            operations.set_role(obj, form.chosen_role, request.user.get_username())
            sessions.stay(request, obj)

    # --- What is shown ---

    def applies(self, action: str, obj: User) -> bool:
        if obj.is_forgotten:
            return action == "purge" and purging.is_begun.get()(obj.username)
        if action == "remove_second_factor":
            return second_factor.is_on(obj)
        return super().applies(action, obj)

    @admin.display(description="role")
    def role_now(self, user: User) -> str:
        return roles.title_of(user)

    @admin.display(description="second factor")
    def second_factor(self, user: User) -> str:
        since = second_factor.since(user)
        return f"since {date_format(localtime(since), 'DATETIME_FORMAT')}" if since else "none"

    # --- Actions ---

    @admin.display(description="list")
    def submitted(self, user: User) -> SafeString:
        address = operations.jobs_address.get()(user.pk)
        return format_html('<a href="{}">Jobs of {}</a>', address, user)

    @admin.display(description="kept", ordering="kept_bytes")
    def kept(self, user: User) -> str:
        """What the queue keeps of their jobs: sources, logs and output files."""
        return size(user.kept_bytes)  # type: ignore[attr-defined]

    def question(self, request: HttpRequest, action: str, rows: QuerySet[User]) -> Question | None:
        if action == "make_login_code":
            users, lost = list(rows), login_codes.unused(rows)
            return questions.about_codes(users, lost) if lost or len(users) > FEW else None
        if action == "remove_second_factor" and (users := list(rows)):
            return questions.about_second_factors(users)
        if action == "purge":
            return questions.about_purging(list(rows[:2]))
        return super().question(request, action, rows)

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

    @admin.action(description="Remove the second factor (a lost phone)", permissions=["own"])
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        actor = request.user.get_username()
        removed = [user for user in queryset if second_factor.remove(user, actor)]
        for user in removed:
            sessions.stay(request, user)
        self.message_user(request, f"Without a second factor now: {questions.named(removed)}.")
