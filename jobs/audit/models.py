"""The audit log's two tables."""

from django.db import models
from django.db.models import F, Q


class AuditEntry(models.Model):
    """Who did what, and every submission whole. Rows are added, and changed by
    `rewriting` alone, where a person or a text must be forgotten.

    Names and job ids are plain values: an entry outlives what it is about.
    """

    id = models.BigIntegerField(primary_key=True)
    timestamp = models.DateTimeField()
    username = models.CharField(max_length=255)
    action = models.CharField(max_length=40)
    job_id = models.BigIntegerField(null=True, blank=True)
    request = models.JSONField(default=dict, blank=True)
    # NULL, and not "", where there is none: that is not in the index.
    address = models.CharField(max_length=50, null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        permissions = (("export_auditentry", "Can export audit entries"),)
        indexes = (
            models.Index("job_id", F("id").desc(), name="audit_about_job"),
            # For staff's list alone (docs/adr/0036).
            models.Index("username", F("id").desc(), name="audit_by"),
            models.Index("action", F("id").desc(), name="audit_of_action"),
            models.Index(*("address", "id"), name="audit_from", condition=Q(address__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.action} by {self.username}"


class AuditCounter(models.Model):
    """One row: the id of the last audit entry.

    Taking an id locks the row until the transaction ends, so entries are committed in the
    order of their ids and without gaps, on every database. That is what lets the audit
    file be appended in order (docs/adr/0002).
    """

    last_id = models.BigIntegerField(default=0)
    rewrites = models.BigIntegerField(
        db_default=0,
        help_text="How often entries were changed (jobs/audit/rewriting.py): the file follows.",
    )


class Purge(models.Model):
    """A person who is being forgotten (jobs/purging.py): how they are found, until it is done."""

    pseudonym = models.CharField(max_length=40, unique=True)
    user_key = models.BigIntegerField(null=True, help_text="None: their account is gone.")
    names = models.JSONField(
        help_text="Each with the first and the last audit entry for which it was theirs."
    )
    emails = models.JSONField()
    actor = models.CharField(max_length=150)
    begun_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.pseudonym
