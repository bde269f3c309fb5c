"""What a student does first: putting a program into the queue."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Turn, User
from courses import flags, limits
from foundation import figures
from foundation.database.statements import Parameter, Select, insert
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import audit, errors, placing
from jobs.audit import Entry
from jobs.digests import digest_of
from jobs.files import language_of
from jobs.kept import counting
from jobs.kept.counting import Bytes
from jobs.models import Job
from jobs.states import Event, State
from jobs.transitions import announce_again, move, queued_of

_USER = Parameter("user")
_SUBMITTER = Select(
    User.objects.select_for_update(no_key=True).filter(pk=_USER, is_active=True).only("username")
)
_TURN = Select(Turn.objects.filter(user=_USER, platform=Parameter("platform")).order_by())
_JOB_OF_KEY = Select(Job.objects.filter(user=_USER, idempotency_key=Parameter("key")).order_by())


@dataclass(frozen=True)
class Submission:
    """What a user sends: a program's files and arguments, and how and where it is to run.

    Of the members after `args` only those that are not empty were given.
    """

    source: str
    filename: str = "program.cu"
    args: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # by name; compiled with `source`
    includes: dict[str, str] = field(default_factory=dict)  # by name; placed beside it
    flags: list[str] = field(default_factory=list)  # the compiler's
    platform: str = ""
    asm: bool = False

    def given(self) -> dict[str, Any]:
        """Its members, without those that older clients do not know and that were not given."""
        always = ("source", "filename", "args")
        return {k: v for k, v in self.__dict__.items() if v or k in always}

    def digest(self) -> str:
        return digest_of(self.given())

    def is_plain(self) -> bool:
        """Whether executors can run it that know one file and no platforms."""
        more = self.sources or self.includes or self.flags or self.asm
        return not more and language_of(self.filename) != "python"

    def size(self) -> int:
        """Bytes of all texts, in UTF-8."""
        texts = [self.source, *self.sources.values(), *self.includes.values()]
        return _bytes_of(texts)

    def kept_bytes(self) -> int:
        """What its job counts among what is kept of its user (jobs/kept/sizes.py: SOURCES)."""
        return self.size() + _bytes_of(self.args)


def _bytes_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


@transaction.atomic
def submit(
    user: User, submission: Submission, key: str | None = None, *, replace: bool = False
) -> tuple[Job, bool]:
    """Queues a job for `user`: the job, and whether it is new.

    The same `key` with the same submission gives the same job again. With `replace`, the
    user's queued jobs make way. Raises IdempotencyKeyReused, SourceTooLarge, FlagRefused,
    UnknownPlatform, PendingJob, TooManySubmissions, QuotaExceeded, and NotFound for a user who was
    deleted.
    """
    _check_size(submission)
    # One submission of a user at a time, so that counting what is queued means something.
    if (submitter := _SUBMITTER.first(user=user.pk)) is None:
        raise NotFound("Your account was deleted or disabled.")
    if key and (job := _JOB_OF_KEY.first(user=submitter.pk, key=key)):
        if job.request_digest != submission.digest():
            raise errors.IdempotencyKeyReused
        return job, False
    _check_flags(submission)
    platform = placing.platform_of(
        submission.filename, submission.platform, is_plain=submission.is_plain()
    )
    _check_rate(submitter)
    replaced = _make_room(submitter, replace)
    job = _job_of(submitter, submission, platform, key)
    insert(job)
    _count(submitter, submission)
    waiting.announce(job.pk, platform)
    name = submitter.username
    audit.record(
        *(Entry(name, Event.REPLACED, old.pk, {"replaced_by": job.pk}) for old in replaced),
        Entry(name, Event.SUBMITTED, job.pk, submission.given()),
    )
    return job, True


def _job_of(user: User, submission: Submission, platform: str, key: str | None) -> Job:
    """A new job of a user's, not yet in the database."""
    turn = _TURN.first(user=user.pk, platform=platform)
    return Job(
        user=user,
        source=submission.source,
        sources=submission.sources,
        includes=submission.includes,
        file_names=sorted([*submission.sources, *submission.includes]),
        filename=submission.filename,
        language=language_of(submission.filename),
        args=submission.args,
        flags=submission.flags,
        asm=submission.asm,
        platform=platform,
        is_plain=submission.is_plain(),
        submitted_at=timezone.now(),
        turn=turn.last_turn if turn else 0,
        attempts_left=limits.max_attempts(),
        idempotency_key=key,
        request_digest=submission.digest(),
    )


def _check_size(submission: Submission) -> None:
    """Raises SourceTooLarge."""
    size, maximum = submission.size(), limits.max_source_bytes()
    if size > maximum:
        several = len(submission.sources) + len(submission.includes)
        what = f"The {1 + several} files have" if several else "The source has"
        raise errors.SourceTooLarge(f"{what} {size} bytes of UTF-8; the queue takes {maximum}.")


def _check_flags(submission: Submission) -> None:
    """Raises FlagRefused."""
    if reason := flags.why_refused(submission.flags):
        raise errors.FlagRefused(reason)
    if submission.flags and language_of(submission.filename) == "python":
        raise errors.FlagRefused(
            f"The compiler flag {submission.flags[0]} is of no use: Python is not compiled."
        )


def _check_rate(user: User) -> None:
    """Raises TooManySubmissions. All jobs of the last minute count, whatever became of them."""
    if not (maximum := limits.max_submissions_a_minute()):
        return
    if first := _job_before_the_latest(maximum - 1).first(user=user.pk):
        age = (timezone.now() - first.submitted_at).total_seconds()
        if 0 <= age < 60:  # a clock that was set back keeps nobody out
            wait = ceil(60 - age)
            raise errors.TooManySubmissions(
                f"The queue takes {maximum} of your submissions in a minute. Wait {wait} seconds.",
                retry_after=wait,
            )


@functools.cache
def _job_before_the_latest(count: int) -> Select[Job]:
    """The user's newest job but so many."""
    jobs = Job.objects.filter(user=_USER).order_by("-id").only("submitted_at")
    return Select(jobs[count : count + 1])


def _count(user: User, submission: Submission) -> None:
    """Raises QuotaExceeded where nothing that may be removed would make room."""
    kept = counting.add(user.pk, sources=submission.kept_bytes())
    if kept and Bytes(sources=kept.sources).excess > 0:
        quota = figures.size(limits.user_quota_bytes())
        raise errors.QuotaExceeded(
            f"The queue keeps {quota} of a user, and the sources of your jobs alone come to more. "
            "Ask course staff to delete old jobs, or to raise the quota."
        )


def _make_room(user: User, replace: bool) -> list[Job]:
    """Raises PendingJob if the user has no room in the queue, or with `replace` makes some."""
    if not replace:
        pending = queued_of(user.pk)
        if len(pending) >= limits.max_queued_jobs():
            first = pending[0].pk
            raise errors.PendingJob(
                f"You have a job in the queue already: job {first}. "
                "Wait for it, cancel it, or replace it with --override-pending.",
                job=first,
            )
        announce_again(pending)
        return []
    # A job that is being claimed at this moment is locked, and no longer in the way.
    queued = Job.objects.filter(user=user, state=State.QUEUED).order_by("id")
    replaced = list(queued.select_for_update(skip_locked=True))
    for job in replaced:
        move(job, Event.REPLACED, finished_at=timezone.now())
    return replaced
