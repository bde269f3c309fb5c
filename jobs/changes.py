"""Which jobs changed, as SQLite's waiters learn it (foundation/serving/feeds.py)."""

import sqlite3
from collections.abc import Iterator

from foundation.serving.feeds import Change
from jobs.states import Event, State

_ENTRIES = (
    "SELECT e.id, e.job_id, e.action, j.platform FROM jobs_auditentry AS e "
    "LEFT JOIN jobs_job AS j ON j.id = e.job_id WHERE e.id > ? ORDER BY e.id"
)
_LAST_ENTRY = "SELECT COALESCE(MAX(id), 0) FROM jobs_auditentry"
_RUNNING = "SELECT id, version FROM jobs_job WHERE state = ?"
_BEGINS_TO_WAIT = (Event.SUBMITTED, Event.REQUEUED)


class JobChanges:
    """Audit entries since the last one seen, and running jobs whose phase changed."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._last_id: int = database.execute(_LAST_ENTRY).fetchone()[0]
        self._running = self._versions_of_running_jobs()

    def _versions_of_running_jobs(self) -> dict[int, int]:
        return dict(self._database.execute(_RUNNING, (State.RUNNING.value,)).fetchall())

    def read(self) -> Iterator[Change]:
        """One for each entry about a job, and for each running job that is not as it was."""
        entries = self._database.execute(_ENTRIES, (self._last_id,)).fetchall()
        for self._last_id, job_id, action, platform in entries:
            if job_id is not None:
                yield Change(job_id, platform if action in _BEGINS_TO_WAIT else None)
        before, self._running = self._running, self._versions_of_running_jobs()
        for job_id, version in self._running.items():
            if before.get(job_id) != version:
                yield Change(job_id)
