"""App configuration of jobs: the queue itself."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Jobs, their attempts and the audit log."""

    name = "jobs"

    def ready(self) -> None:
        from accounts.signals import account_changed
        from jobs import audit, checks  # noqa: F401  (checks registers itself)

        account_changed.connect(audit.record_account_change)
