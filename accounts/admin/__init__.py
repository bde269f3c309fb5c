"""The admin's pages of accounts: a module a page."""

from accounts.admin.executors import ExecutorAdmin
from accounts.admin.users import UserAdmin

__all__ = ("ExecutorAdmin", "UserAdmin")
