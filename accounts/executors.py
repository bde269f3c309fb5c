"""What executors say of themselves: when they were heard of, their host, GPUs and platforms.

It is their word alone. What staff set (`Executor.enabled`) is never among it, so that no report
overwrites a setting; a setting of one GPU would have a table of its own.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import platforms
from accounts.models import Executor, Gpu
from foundation.database.statements import update

SEEN_EVERY_SECONDS = 5  # how often "last seen" is written at most
MAX_GPUS = 64  # of one report; no host has more
_REPORTED = ("place", "index", "name", "architecture", "driver", "condition", "reason", "since")


def seen(executor: Executor, about: dict[str, Any] | None = None) -> None:
    """Notes that the executor was heard of, and what it says of itself if that is new."""
    now = timezone.now()
    if about and about != executor.about:
        _keep_report(executor.pk, about, now)
    elif executor.last_seen_at is None or abs(now - executor.last_seen_at) >= _seen_every():
        with transaction.atomic():  # a writer's turn, on SQLite
            update(Executor, {"id": executor.pk}, last_seen_at=now)


def _seen_every() -> timedelta:
    """Often enough for `Executor.is_alive`."""
    return timedelta(seconds=min(SEEN_EVERY_SECONDS, settings.TELERUN_LEASE_SECONDS / 6))


@transaction.atomic
def _keep_report(executor_id: int, about: dict[str, Any], now: datetime) -> None:
    """The report and its rows together: the update's lock puts two reports one after the other."""
    update(Executor, {"id": executor_id}, about=about, last_seen_at=now)
    replace_gpus(executor_id, about.get("gpus"))
    platforms.keep(executor_id, about)


def replace_gpus(executor_id: int, reported: Any) -> None:
    """Makes the executor's rows of GPUs those of a report, whatever is in it."""
    rows = gpus_of_report(executor_id, reported)
    Gpu.objects.filter(executor=executor_id).exclude(uuid__in=[row.uuid for row in rows]).delete()
    Gpu.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=("executor", "uuid"),
        update_fields=_REPORTED,
    )


def gpus_of_report(executor_id: int, reported: Any) -> list[Gpu]:
    """Rows for the objects in a list, as far as it is one; each UUID once, texts cut to fit."""
    listed = reported if isinstance(reported, list) else []
    rows: dict[str, Gpu] = {}
    for place, gpu in enumerate(listed[:MAX_GPUS]):
        if isinstance(gpu, dict):
            row = Gpu(executor_id=executor_id, place=place)
            for name in ("uuid", *_REPORTED[1:]):
                setattr(row, name, _text(gpu.get(name), Gpu._meta.get_field(name).max_length))
            row.uuid = row.uuid or f"number {place}"
            rows.setdefault(row.uuid, row)
    return list(rows.values())


def _text(value: Any, length: int) -> str:
    return "" if value is None else str(value)[:length]
