"""The admin's pages of accounts: a module a page."""

from django.contrib import admin
from django.contrib.auth.models import Group

from accounts.admin.executors import ExecutorAdmin
from accounts.admin.users import UserAdmin

__all__ = ("ExecutorAdmin", "UserAdmin")

admin.site.unregister(Group)  # staff are staff; there are no finer roles
