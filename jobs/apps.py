"""App configuration of jobs: the queue itself."""

from django.apps import AppConfig
from django.db.models.signals import post_delete, pre_delete


class JobsConfig(AppConfig):
    """Jobs, their attempts and the audit log."""

    name = "jobs"

    def ready(self) -> None:
        from accounts.models import User
        from accounts.signals import account_changed
        from jobs import audit, checks, deletions  # noqa: F401  (checks registers itself)

        account_changed.connect(audit.record_account_change)
        pre_delete.connect(deletions.note_jobs, sender=User)
        post_delete.connect(deletions.record_jobs, sender=User)
