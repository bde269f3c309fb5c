"""What `operations.py` refuses, in the words and with the HTTP status a client gets.

The docstring of a class is its default message; `slug` ends the problem's `type`.
"""

from typing import Any, ClassVar


class JobError(Exception):
    """The queue refuses."""

    status = 409
    slug = "conflict"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str = "", *, retry_after: int = 0, **members: Any) -> None:
        super().__init__(message or self.__doc__)
        if retry_after:
            self.headers = {"Retry-After": str(retry_after)}
        self.members = members  # more members of the problem document

    @property
    def title(self) -> str:
        """The same sentence for every problem of this kind (RFC 9457)."""
        return (self.__doc__ or "").rstrip(".")


class PendingJob(JobError):
    """You have a job in the queue already."""

    slug = "pending-job"


class IdempotencyKeyReused(JobError):
    """This Idempotency-Key was used before, with another body."""

    status = 422
    slug = "idempotency-key-reused"


class TooManySubmissions(JobError):
    """You have submitted too often in the last minute."""

    status = 429
    slug = "too-many-requests"


class SourceTooLarge(JobError):
    """The source is larger than the queue takes."""

    status = 413
    slug = "source-too-large"


class AlreadyOver(JobError):
    """The job is over already."""

    slug = "already-over"


class NotFound(JobError):
    """There is no such thing here."""

    status = 404
    slug = "not-found"


class LeaseLost(JobError):
    """The attempt has no lease any more: its job was taken away from it."""

    slug = "lease-lost"


class ResultConflict(JobError):
    """The attempt has another result already."""

    slug = "result-conflict"


class ExecutorDisabled(JobError):
    """Course staff took this executor out of service."""

    status = 403
    slug = "executor-disabled"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "30"}


class FilesTooLarge(JobError):
    """The attempt's output files are more than the queue keeps."""

    status = 413
    slug = "files-too-large"
