"""What a job may use and a student may send, by the course's settings."""

from django.conf import settings


def of_a_job() -> dict[str, int]:
    """Times in seconds, sizes in bytes; the executor gets them with its claim."""
    return settings.TELERUN_LIMITS


def max_source_bytes() -> int:
    """Of a submission's source, in UTF-8."""
    return settings.TELERUN_MAX_SOURCE_BYTES


def user_quota_bytes() -> int:
    """How many bytes of sources, logs and output files are kept of a user; 0 is no limit."""
    return settings.TELERUN_USER_QUOTA_BYTES


def max_queued_jobs() -> int:
    """How many jobs a user may have in the queue at once."""
    return settings.TELERUN_MAX_QUEUED_PER_USER


def max_submissions_a_minute() -> int:
    """How often a user may submit; 0 is no limit."""
    return settings.TELERUN_SUBMITS_PER_MINUTE


def max_attempts() -> int:
    """How many attempts at a job may end without a result."""
    return settings.TELERUN_MAX_ATTEMPTS
