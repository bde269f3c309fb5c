"""The admin's pages of jobs: a module a page."""

from jobs.admin.audit import AuditEntryAdmin
from jobs.admin.bulk import BulkActionAdmin
from jobs.admin.jobs import JobAdmin

__all__ = ("AuditEntryAdmin", "BulkActionAdmin", "JobAdmin")
