"""What operations on jobs refuse, in the words and with the HTTP status a client gets."""

from typing import ClassVar

from foundation.problems import Problem


class Conflict(Problem):
    """The job changed at the same moment. Try again."""


class PendingJob(Problem):
    """You have a job in the queue already."""

    slug = "pending-job"


class IdempotencyKeyReused(Problem):
    """This Idempotency-Key was used before, with another body."""

    status = 422
    slug = "idempotency-key-reused"


class TooManySubmissions(Problem):
    """You have submitted too often in the last minute."""

    status = 429
    slug = "too-many-requests"


class SourceTooLarge(Problem):
    """The source is larger than the queue takes."""

    status = 413
    slug = "source-too-large"


class QuotaExceeded(Problem):
    """The sources of your jobs take more than the queue keeps of a user."""

    status = 413  # no client sends it again by itself, as it would after 429 or 507
    slug = "quota-exceeded"


class FileRemoved(Problem):
    """The queue removed this file to make room for newer ones of yours."""

    status = 410
    slug = "file-removed"


class FlagRefused(Problem):
    """The queue does not take one of the compiler flags."""

    status = 422
    slug = "flag-refused"


class UnknownPlatform(Problem):
    """No host offers this platform."""

    status = 422
    slug = "unknown-platform"


class AlreadyOver(Problem):
    """The job is over already."""

    slug = "already-over"


class NoLongerKept(Problem):
    """The files and logs of this job are no longer kept."""

    status = 410
    slug = "no-longer-kept"


class LeaseLost(Problem):
    """The attempt has no lease any more: its job was taken away from it."""

    slug = "lease-lost"


class ResultConflict(Problem):
    """The attempt has another result already."""

    slug = "result-conflict"


class ExecutorDisabled(Problem):
    """Course staff took this executor out of service."""

    status = 403
    slug = "executor-disabled"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class FilesTooLarge(Problem):
    """The attempt's output files are more than the queue keeps."""

    status = 413
    slug = "files-too-large"
