"""An action of staff on many jobs, and how far it is."""

from django.db import models
from django.db.models import Q, TextChoices
from django.utils.functional import cached_property

from foundation import ranges


class Kind(TextChoices):
    """What is done to each job."""

    REQUEUE = "requeue", "run again"
    CANCEL = "cancel", "cancel"


class BulkAction(models.Model):
    """Jobs are done one by one, by their number: `last_job` says how far it is, so that any server
    goes on where another one stopped."""

    kind = models.CharField(max_length=12, choices=Kind)
    actor = models.CharField(max_length=150)
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.CharField(max_length=150, blank=True, default="")
    count = models.PositiveIntegerField(help_text="Of the jobs.")
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0, help_text="Left as they were.")
    last_job = models.BigIntegerField(default=0, help_text="Those up to it are done.")
    jobs = models.TextField(help_text="Their numbers: 1-5,9.")

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index("id", name="bulk_action_open", condition=Q(ended_at__isnull=True)),)
        constraints = (
            models.CheckConstraint(name="bulk_action_kind", condition=Q(kind__in=Kind.values)),
        )

    def __str__(self) -> str:
        return f"bulk action {self.pk}"

    @cached_property
    def next_job(self) -> int | None:
        """The number of the job that is next; None after the last one."""
        return ranges.first_after(self.jobs, self.last_job)

    @property
    def left(self) -> int:
        """How many jobs are still to be done, or were when it was stopped."""
        return self.count - self.done - self.refused
