"""The nearest peer: dj_queue, which keeps a queue in Django's database too.

    python3.12 -m venv /tmp/peer && /tmp/peer/bin/pip install dj-queue
    TMPDIR=/the/disk/to/measure /tmp/peer/bin/python bench/peer.py [JOBS]

It needs Python 3.12 and a Django of its own, so it stands apart from `make bench`. Jobs are put
in and taken out in one process, on SQLite with full syncs, one at a time: no HTTP, TLS, tokens,
or leases that are renewed. Compare it with row C, which has all of these.
"""

import sys
import tempfile
import time
from pathlib import Path

import django
from django.conf import settings


def set_up(folder: Path) -> None:
    """A database with its tables, in the folder."""
    settings.configure(
        SECRET_KEY="for the benchmark alone",
        INSTALLED_APPS=["dj_queue"],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "db.sqlite3",
                "OPTIONS": {
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
                    "transaction_mode": "IMMEDIATE",
                },
            }
        },
        TASKS={"default": {"BACKEND": "dj_queue.backend.DjQueueBackend", "QUEUES": []}},
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def nothing() -> None:
    """The work of a job."""


def lives(jobs: int) -> tuple[float, float]:
    """Seconds to put the jobs in, and to take them all out and do them."""
    from dj_queue.models import FailedExecution
    from dj_queue.operations.claiming import claim_ready_jobs
    from dj_queue.operations.execution import execute_claimed_job
    from django.tasks import task

    globals()["nothing"] = task()(nothing)  # where a worker looks for it
    put = nothing.enqueue
    began = time.perf_counter()
    for _ in range(jobs):
        put()
    all_in = time.perf_counter()
    done = 0
    while claimed := claim_ready_jobs(limit=1):
        execute_claimed_job(claimed[0])
        done += 1
    failed = FailedExecution.objects.first()
    if done != jobs or failed:
        raise RuntimeError(f"{done} of {jobs} jobs were done; {failed and failed.message}")
    return all_in - began, time.perf_counter() - all_in


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sys.modules["peer"] = sys.modules["__main__"]  # a task is found by its module's name
    nothing.__module__ = "peer"
    with tempfile.TemporaryDirectory() as folder:
        set_up(Path(folder))
        put, done = lives(jobs)
    rate = jobs / (put + done)
    print(f"{jobs} jobs: put in {put:.2f} s, done in {done:.2f} s: {rate:.0f} lives/s")


if __name__ == "__main__":
    main()
