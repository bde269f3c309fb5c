"""App configuration of jobs: the queue itself."""

from django.apps import AppConfig
from django.db.models.signals import post_delete, pre_delete


class JobsConfig(AppConfig):
    """Jobs, their attempts and the audit log."""

    name = "jobs"

    def ready(self) -> None:
        """Registers with the packages below what they must know of jobs, and may not import."""
        from accounts import purging as people
        from accounts.models import User
        from accounts.operations import has_belongings, jobs_address, kept_bytes
        from accounts.signals import account_changed, platform_renamed
        from foundation.admin import history_address
        from foundation.database.connections import scratch_tables
        from foundation.serving.feeds import change_reader
        from jobs import checks, purging, retention, staff  # noqa: F401  (checks registers itself)
        from jobs.admin.audit import address_of_history
        from jobs.admin.jobs import address_of_jobs
        from jobs.audit.entries import record_account_change
        from jobs.changes import JobChanges
        from jobs.kept.counting import OF_A_USER
        from jobs.live.pieces import TABLES
        from jobs.models import Job, Kept

        account_changed.connect(record_account_change)
        platform_renamed.connect(staff.follow_new_name)
        pre_delete.connect(retention.note_jobs, sender=User)
        post_delete.connect(retention.record_jobs, sender=User)
        people.keep(Job)
        people.keep(Kept)
        people.purge.register(purging.purge)
        people.is_begun.register(purging.is_begun)
        has_belongings.register(retention.has_jobs)
        kept_bytes.register(OF_A_USER)
        change_reader.register(JobChanges)
        history_address.register(address_of_history)
        jobs_address.register(address_of_jobs)
        scratch_tables.register(TABLES)
