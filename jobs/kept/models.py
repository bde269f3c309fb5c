"""The counters of what is kept of each user."""

from django.conf import settings
from django.db import models
from django.db.models import F


class Kept(models.Model):
    """Bytes that are kept of a user. No row: nothing yet.

    Only `jobs.kept.counting` writes it, in the transaction that changes what it counts.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    sources = models.BigIntegerField(default=0, help_text="Texts and arguments of jobs.")
    logs = models.BigIntegerField(default=0, help_text="Both logs of each attempt.")
    files = models.BigIntegerField(default=0, help_text="Output files.")

    class Meta:
        indexes = (
            models.Index((F("sources") + F("logs") + F("files")).desc(), name="kept_most_first"),
        )

    def __str__(self) -> str:
        return f"what is kept of user {self.user_id}"
