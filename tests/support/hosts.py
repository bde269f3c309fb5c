"""Hosts as the queue sees them: what they report, when they were heard of, what ran on them."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts import executors
from accounts.models import Executor, User
from jobs.models import Attempt, Job

LANGUAGES = ["cuda", "cpp", "python"]
H100 = {"uuid": "GPU-a", "name": "NVIDIA H100 80GB HBM3", "condition": "ready"}
L4 = {"uuid": "GPU-b", "name": "NVIDIA L4", "condition": "ready"}
BROKEN = {"condition": "quarantined", "reason": "Xid 79", "since": "2026-03-01T10:00:00Z"}


def host(executor: Executor, offers: Any = None, *gpus: Any, **more: Any) -> Executor:
    executor.refresh_from_db()
    about = {"offers": offers or {"cuda": 1}, "languages": LANGUAGES, "gpus": list(gpus), **more}
    executors.seen(executor, about)
    executor.refresh_from_db()
    return executor


def silent(executor: Executor, **ago: float) -> datetime:
    """Nothing was heard of it for so long; since when."""
    since = timezone.now() - timedelta(**ago)
    Executor.objects.filter(pk=executor.pk).update(last_seen_at=since)
    return since


def ran(
    user: User, executor: Executor, count: int, compiled: float, execute: float,
    platform: str = "cuda",
) -> None:  # fmt: skip
    """Jobs of that many seconds ended lately, one after the other."""
    for n in range(count):
        end = timezone.now() - timedelta(seconds=(n + 1) * (compiled + execute))
        job = Job.objects.create(
            user=user, source="x", platform=platform, submitted_at=end - timedelta(hours=1), turn=0,
            attempts_left=2, state="finished", outcome="succeeded", finished_at=end,
        )  # fmt: skip
        Attempt.objects.create(
            job=job, number=1, executor=executor, executor_name=executor.name, lease_token="x",
            lease_expires_at=end, started_at=end - timedelta(seconds=compiled + execute),
            ended_at=end, ending="finished", outcome="succeeded",
            compile_seconds=compiled, execute_seconds=execute,
        )  # fmt: skip
