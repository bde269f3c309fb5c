"""What a student does first: putting a program into the queue."""

import functools
from dataclasses import dataclass, field
from math import ceil

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from courses import limits
from foundation.database.statements import Parameter, Select, insert
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import audit, errors
from jobs.audit import Entry
from jobs.digests import digest_of
from jobs.models import Job
from jobs.states import Event, State
from jobs.transitions import move

_USER = Parameter("user")
_SUBMITTER = Select(
    User.objects.select_for_update(no_key=True).filter(pk=_USER).only("username", "last_turn")
)
_JOB_OF_KEY = Select(Job.objects.filter(user=_USER, idempotency_key=Parameter("key")).order_by())
_QUEUED_OF_USER = Select(
    Job.objects.filter(user=_USER, state=State.QUEUED).order_by("id").only("id")
)


@dataclass(frozen=True)
class Submission:
    """What a user sends: the text of a `.cu` file, its name, and the program's arguments."""

    source: str
    filename: str = "program.cu"
    args: list[str] = field(default_factory=list)

    def digest(self) -> str:
        return digest_of(self.__dict__)


@transaction.atomic
def submit(
    user: User, submission: Submission, key: str | None = None, *, replace: bool = False
) -> tuple[Job, bool]:
    """Queues a job for `user`: the job, and whether it is new.

    The same `key` with the same submission gives the same job again. With `replace`, the
    user's queued jobs make way. Raises IdempotencyKeyReused, SourceTooLarge, PendingJob,
    TooManySubmissions, and NotFound for a user who was deleted.
    """
    _check_size(submission)
    # One submission of a user at a time, so that counting what is queued means something.
    if (submitter := _SUBMITTER.first(user=user.pk)) is None:
        raise NotFound("Your account was deleted.")
    if key and (job := _JOB_OF_KEY.first(user=submitter.pk, key=key)):
        if job.request_digest != submission.digest():
            raise errors.IdempotencyKeyReused
        return job, False
    _check_rate(submitter)
    replaced = _make_room(submitter, replace)
    job = Job(
        user=submitter,
        source=submission.source,
        filename=submission.filename,
        args=submission.args,
        submitted_at=timezone.now(),
        turn=submitter.last_turn,
        attempts_left=limits.max_attempts(),
        idempotency_key=key,
        request_digest=submission.digest(),
    )
    insert(job)
    waiting.announce(job.pk, queued=True)
    name = submitter.username
    audit.record(
        *(Entry(name, Event.REPLACED, old.pk, {"replaced_by": job.pk}) for old in replaced),
        Entry(name, Event.SUBMITTED, job.pk, dict(submission.__dict__)),
    )
    return job, True


def _check_size(submission: Submission) -> None:
    """Raises SourceTooLarge."""
    size, maximum = len(submission.source.encode()), limits.max_source_bytes()
    if size > maximum:
        raise errors.SourceTooLarge(
            f"The source has {size} bytes of UTF-8; the queue takes {maximum}."
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


def _make_room(user: User, replace: bool) -> list[Job]:
    """Raises PendingJob if the user has no room in the queue, or with `replace` makes some."""
    if not replace:
        pending = _QUEUED_OF_USER.keys(user=user.pk)
        if len(pending) >= limits.max_queued_jobs():
            raise errors.PendingJob(
                f"You have a job in the queue already: job {pending[0]}. "
                "Wait for it, cancel it, or replace it with --override-pending.",
                job=pending[0],
            )
        return []
    # A job that is being claimed at this moment is locked, and no longer in the way.
    queued = Job.objects.filter(user=user, state=State.QUEUED).order_by("id")
    replaced = list(queued.select_for_update(skip_locked=True))
    for job in replaced:
        move(job, Event.REPLACED, finished_at=timezone.now())
    return replaced
