"""How much room there is on the disk, and who takes most of it."""

import shutil
from typing import NamedTuple

from django.conf import settings

from courses import limits
from foundation import figures
from foundation.database import connections
from jobs.kept.counting import IN_ALL
from jobs.models import Kept

SCARCE_BYTES, SCARCE_SHARE = 5 << 30, 0.1  # less than that is free: somebody has to look
MOST_USERS = 5


class LargeUser(NamedTuple):
    """A user of whom much is kept."""

    key: int
    name: str
    size: str
    is_full: bool  # what comes pushes out what is there


class Room(NamedTuple):
    """The disk of the data folder, the database, and the largest users; sizes in words."""

    free: str
    total: str
    is_scarce: bool
    database: str
    quota: str  # "" for none
    largest: list[LargeUser]


def now() -> Room:
    """As it is at this moment. Raises DatabaseError."""
    disk = shutil.disk_usage(settings.TELERUN_DATA_DIR)
    quota = limits.user_quota_bytes()
    return Room(
        free=figures.size(disk.free),
        total=figures.size(disk.total),
        is_scarce=disk.free < max(SCARCE_BYTES, disk.total * SCARCE_SHARE),
        database=figures.size(connections.size()),
        quota=figures.size(quota) if quota else "",
        largest=_largest(quota),
    )


def _largest(quota: int) -> list[LargeUser]:
    """From the counters, whatever the number of jobs."""
    kept = Kept.objects.annotate(size=IN_ALL).filter(size__gt=0).order_by("-size")
    rows = kept.values_list("pk", "user__username", "size")[:MOST_USERS]
    nearly = quota - quota // 16  # so much is left when the oldest goes (jobs/quota.py)
    return [
        LargeUser(key, name, figures.size(size), bool(quota) and size >= nearly)
        for key, name, size in rows
    ]
