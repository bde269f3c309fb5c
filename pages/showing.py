"""Jobs as a page shows them, found and put into words."""

from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from accounts.models import User
from courses import limits
from foundation import figures
from jobs import outlook
from jobs import words as said
from jobs.api.v1 import answers
from jobs.models import Attempt, Job, Kept
from jobs.states import FINAL, Ending, State
from pages import losses, words
from pages.logs import ShownLog, logs_of
from pages.words import Standing

PAGE = 25  # jobs
_MAX_ID = 2**63 - 1
_NEARLY_FULL = 0.8  # of the quota


class Row(NamedTuple):
    """A job in a list."""

    id: int
    filename: str
    args: list[str]
    standing: Standing
    at: datetime  # when it was submitted
    took: str  # the program
    is_over: bool


class JobPage(NamedTuple):
    """Some of a user's jobs, newest first."""

    rows: list[Row]
    older: int | None  # before which job the next page begins
    is_first: bool
    is_live: bool  # something may change by itself

    @property
    def title(self) -> str:
        """For the tab: how the newest one stands."""
        if not self.rows or not self.is_first:
            return "Jobs"
        return f"{self.rows[0].standing.mark} job {self.rows[0].id} {self.rows[0].standing.words}"


class ShownAttempt(NamedTuple):
    """One execution of a job."""

    number: int
    executor: str
    started_at: datetime
    ended_at: datetime | None
    words: str


class ShownFile(NamedTuple):
    """An output file."""

    name: str
    size: str
    removed: bool  # it is there no longer


class ShownJob(NamedTuple):
    """All that a page says of a job, but for its logs."""

    job: Job
    standing: Standing
    waiting: list[str]
    no_executor_since: datetime | None
    host: str  # where it runs
    elapsed: int | None  # seconds that it has run for, by the queue's clock
    limit: int  # seconds that its program may run for
    missing: str  # what of its output is not kept
    why: str
    facts: list[tuple[str, str]]
    files: list[ShownFile]
    left_out: list[str]
    attempts: list[ShownAttempt]

    @property
    def title(self) -> str:
        """For the tab."""
        return f"{self.standing.mark} job {self.job.pk} {self.standing.words}"

    @property
    def is_over(self) -> bool:
        return self.job.is_over

    @property
    def is_ending(self) -> bool:
        """Whether it was told to stop."""
        return not self.is_over and self.job.cancel_requested_at is not None


def listed(user: User, before: str = "") -> JobPage:
    """The user's jobs, newest first, before one of a number."""
    jobs = Job.objects.filter(user=user).without_texts().order_by("-id")
    is_first = not (before.isascii() and before.isdigit())
    if not is_first:
        jobs = jobs.filter(pk__lt=min(int(before[:19]), _MAX_ID))
    found = list(jobs[: PAGE + 1])
    shown, took = found[:PAGE], _seconds(found[:PAGE])
    rows = [_row(job, took.get(job.pk)) for job in shown]
    older = shown[-1].pk if len(found) > PAGE else None
    return JobPage(rows, older, is_first, any(not row.is_over for row in rows))


def _seconds(jobs: list[Job]) -> dict[int, float | None]:
    """How long the programs ran, by their jobs."""
    ended = Attempt.objects.filter(job__in=jobs, ending=Ending.FINISHED)
    return dict(ended.values_list("job_id", "execute_seconds"))


def _row(job: Job, seconds: float | None) -> Row:
    standing = words.standing(answers.summary(job, job.queue_position))
    took = "" if seconds is None else figures.duration(seconds)
    is_over = job.state in FINAL
    return Row(job.pk, job.filename, job.args, standing, job.submitted_at, took, is_over)


def one(job: Job) -> ShownJob:
    """The job as it is. Raises DatabaseError."""
    place = job.queue_position
    document: Any = answers.event(
        job, place, outlook.of(job, place), answers.attempts_without_logs(job)
    )
    attempts = document["attempts"]
    result = document["result"] or {"files": []}
    started = attempts[-1]["started_at"] if job.state == State.RUNNING and attempts else None
    return ShownJob(
        job,
        words.standing(document),
        said.waiting(document),
        document["no_executor_since"],
        document["executor"] or "",
        max(0, int((timezone.now() - started).total_seconds())) if started else None,
        limits.of_a_job()["execute_seconds"],
        losses.in_words(document, _printed(job)) if job.is_over else "",
        words.why(document) if job.is_over else "",
        said.facts(document),
        [_file(file) for file in result["files"]],
        said.left_out(document),
        [_attempt(attempt) for attempt in attempts],
    )


def _file(file: answers.ListedFileAnswer) -> ShownFile:
    return ShownFile(file["name"], figures.size(file["size"]), "removed" in file)


def _printed(job: Job) -> bytes:
    """By the program, in the attempt that brought the result."""
    finished = Attempt.objects.filter(job=job, ending=Ending.FINISHED).order_by("-number")
    return bytes(finished.values_list("execute_log", flat=True).first() or b"")


def _attempt(attempt: answers.AttemptAnswer) -> ShownAttempt:
    return ShownAttempt(
        attempt["number"],
        attempt["executor"],
        attempt["started_at"],
        attempt["ended_at"],
        words.attempt(attempt),
    )


def logs(shown: ShownJob) -> list[ShownLog]:
    """Of the attempt with the result, or of the last one; none while the job is not over."""
    if not shown.is_over:
        return []
    attempts = Attempt.objects.filter(job=shown.job, ended_at__isnull=False).order_by("-number")
    last = attempts.filter(ending=Ending.FINISHED).first() or attempts.first()
    return logs_of(last) if last else []


def fullness(user: User) -> str:
    """What a user is told of whom nearly as much is kept as may be; "" of others."""
    quota, kept = limits.user_quota_bytes(), Kept.objects.filter(pk=user.pk).first()
    used = kept.sources + kept.logs + kept.files if kept else 0
    if not quota or used < _NEARLY_FULL * quota:
        return ""
    return (
        f"Of the {figures.size(quota)} that the queue keeps of you, {figures.size(used)} are used. "
        "When more comes, your oldest files go, then your oldest logs."
    )
