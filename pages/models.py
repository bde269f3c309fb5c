"""Who is logged in to the pages, and the links that log somebody in. Secrets are digests alone."""

from django.conf import settings
from django.db import models
from django.db.models import F


class OfUser(models.Model):
    """Lets a user in for a while, as long as the user is active and has the same token."""

    digest = models.CharField(max_length=64, primary_key=True, help_text="Of its secret.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    token_digest = models.CharField(
        max_length=64, help_text="Of the user's token as it began: another one ends it."
    )
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True

    @classmethod
    def valid(cls, now: object) -> "models.QuerySet[OfUser]":
        """Those that let somebody in now."""
        of_active = cls.objects.filter(ends_at__gt=now, user__is_active=True)
        return of_active.filter(user__token_digest=F("token_digest"))


class Session(OfUser):
    """A browser in which a user is logged in."""

    begun_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"a session of user {self.user_id}"


class Link(OfUser):
    """Logs its user in, once."""

    def __str__(self) -> str:
        return f"a link of user {self.user_id}"
