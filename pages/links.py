"""Links that log a user in once, within a minute: `submit.py --web` opens one.

The secret stands behind the `#`, which no browser sends and no server logs; a script of the page
posts it.
"""

import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from accounts.tokens import digest
from pages.models import Link

LASTS = timedelta(seconds=60)
_SECRET_BYTES = 32


def make(user: User) -> tuple[str, datetime]:
    """A new link's secret, and until when it can be used. The user's one before ends."""
    secret, now = secrets.token_urlsafe(_SECRET_BYTES), timezone.now()
    with transaction.atomic():
        Link.objects.filter(Q(user=user) | Q(ends_at__lte=now)).delete()
        link = Link.objects.create(
            digest=digest(secret), user=user, token_digest=user.token_digest, ends_at=now + LASTS
        )
    return secret, link.ends_at


def use(secret: str) -> User | None:
    """Whose link it is; None if it is nobody's, is over, or was used before."""
    link = Link.valid(timezone.now()).filter(pk=digest(secret)).select_related("user").first()
    # Of two who use it at once, one deletes it.
    is_first = link is not None and Link.objects.filter(pk=link.pk).delete()[0] == 1
    return link.user if is_first else None
