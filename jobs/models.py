"""Jobs, their attempts and output files, with constraints that state the invariants."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from accounts.models import CUDA, PLATFORM_LENGTH
from foundation.database.statements import Parameter, Select
from jobs.audit.models import AuditCounter, AuditEntry, Purge
from jobs.bulk.models import BulkAction
from jobs.kept.models import Kept
from jobs.states import FINAL, Ending, Outcome, Phase, State

__all__ = (
    "Attempt",
    "AuditCounter",
    "AuditEntry",
    "BulkAction",
    "FailuresSeen",
    "Job",
    "Kept",
    "OutputFile",
    "OutputPart",
    "Purge",
)


class JobQuerySet(models.QuerySet["Job"]):
    """The nouns of the queue."""

    def queued(self, platform: Any = CUDA) -> "JobQuerySet":
        """Jobs that wait for a platform: least recently served user first, then oldest."""
        return self.filter(state=State.QUEUED, platform=platform).order_by("turn", "id")

    def ahead_of(self, job: "Job") -> "JobQuerySet":
        """The jobs that wait for the same platform and are served before `job`."""
        up_to = self.queued(job.platform).filter(turn__lte=job.turn)  # a range of the index
        return up_to.exclude(turn=job.turn, id__gte=job.id)

    def without_texts(self) -> "JobQuerySet":
        """Without what may be large."""
        return self.defer("source", "sources", "includes", "texts_gone")


class Job(models.Model):
    """A program that a user submitted."""

    # Foreign keys have no index of their own where another one begins with them.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=12, choices=Phase, blank=True, default="")
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True, default="")

    filename = models.CharField(max_length=255)
    args = models.JSONField(default=list, blank=True)
    language = models.CharField(max_length=10, default="cuda", help_text="By the file's ending.")
    platform = models.CharField(max_length=PLATFORM_LENGTH, default=CUDA)
    flags = models.JSONField(default=list, blank=True, help_text="For the compiler.")
    asm = models.BooleanField(default=False, help_text="Whether the assembler code is wanted.")
    file_names = models.JSONField(default=list, blank=True, help_text="Of all but the main file.")
    is_plain = models.BooleanField(
        default=True, help_text="Whether executors can run it that know one file and no platforms."
    )

    submitted_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    turn = models.BigIntegerField(
        help_text="The owner's last turn when the job began to wait: the order of service."
    )
    attempts_left = models.PositiveSmallIntegerField()
    version = models.BigIntegerField(default=1, help_text="Grows with every change of the job.")

    idempotency_key = models.CharField(max_length=255, null=True, blank=True)
    request_digest = models.CharField(max_length=64, blank=True, default="")

    # Last: SQLite walks over what stands before a column.
    source = models.TextField()
    sources = models.JSONField(default=dict, blank=True, help_text="Compiled with it, by name.")
    includes = models.JSONField(default=dict, blank=True, help_text="Placed beside it, by name.")
    texts_gone = models.JSONField(
        null=True,
        blank=True,
        help_text="Since when its texts and logs are no longer kept, and what they were "
        "(jobs/retention.py).",
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = (
            # Not partial: SQLite does not match a bound parameter with an index's condition.
            # What follows the order is looked at on the way (which jobs an executor can run).
            models.Index(
                *("state", "platform", "turn", "id", "language", "is_plain"),
                name="job_platform_queue",
            ),
            models.Index("user", "state", "id", name="job_queued_of_user"),
            models.Index("user", F("id").desc(), name="job_of_user"),
            models.Index("state", F("id").desc(), name="job_in_state"),
            # For staff's list alone (docs/adr/0036).
            models.Index("outcome", F("id").desc(), name="job_with_outcome"),
            models.Index(Lower("filename"), F("id").desc(), name="job_of_file"),
        )
        constraints = (
            models.UniqueConstraint("user", "idempotency_key", name="one_job_a_key"),
            models.CheckConstraint(name="job_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="finished_at_exactly_in_final_states",
                condition=Q(state__in=FINAL, finished_at__isnull=False)
                | (~Q(state__in=FINAL) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="outcome_exactly_when_finished",
                condition=Q(state=State.FINISHED, outcome__in=Outcome.values)
                | (~Q(state=State.FINISHED) & Q(outcome="")),
            ),
            models.CheckConstraint(
                name="phase_exactly_when_running",
                condition=Q(state=State.RUNNING, phase__in=Phase.values)
                | (~Q(state=State.RUNNING) & Q(phase="")),
            ),
        )

    def __str__(self) -> str:
        return f"job {self.pk}"

    @property
    def is_over(self) -> bool:
        return self.state in FINAL

    @property
    def queue_position(self) -> int | None:
        """1 for the job that is served next, None for a job that does not wait."""
        if self.state != State.QUEUED:
            return None
        return _AHEAD.count(platform=self.platform, turn=self.turn, id=self.id) + 1

    @property
    def result(self) -> "Attempt | None":
        """The attempt whose result is the job's result."""
        if self.state != State.FINISHED:
            return None
        return self.attempts.filter(ending=Ending.FINISHED).first()


_SOME_JOB = Job(platform=Parameter("platform"), turn=Parameter("turn"), id=Parameter("id"))
_AHEAD = Select(Job.objects.ahead_of(_SOME_JOB).only("id").order_by())


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """The nouns of attempts."""

    def open(self) -> "AttemptQuerySet":
        """Attempts that may still report."""
        return self.filter(ended_at__isnull=True)

    def expired(self, now: Any) -> "AttemptQuerySet":
        """Open attempts whose lease has run out."""
        return self.open().filter(lease_expires_at__lt=now)


class Attempt(models.Model):
    """One execution of a job by one executor, with its lease and, in the end, its result."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveSmallIntegerField()
    executor = models.ForeignKey(
        "accounts.Executor",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
    )
    executor_name = models.CharField(max_length=100, help_text="Stays when the executor goes.")
    claim_key = models.CharField(max_length=255, null=True, blank=True)
    lease_token = models.CharField(max_length=64)
    lease_expires_at = models.DateTimeField()

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.CharField(max_length=12, choices=Ending, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")

    # The result, on attempts that ended with one. Logs are bytes: programs print anything.
    outcome = models.CharField(max_length=20, choices=Outcome, blank=True, default="")
    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.IntegerField(null=True, blank=True)
    compile_seconds = models.FloatField(null=True, blank=True)
    execute_seconds = models.FloatField(null=True, blank=True)
    result_digest = models.CharField(max_length=64, blank=True, default="")
    details = models.JSONField(default=dict, blank=True, help_text="What else the result told.")
    compile_log = models.BinaryField(default=b"")
    execute_log = models.BinaryField(default=b"")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                "lease_expires_at", name="attempt_lease", condition=Q(ended_at__isnull=True)
            ),
            models.Index("executor_name", F("job").desc(), name="attempt_on_host"),
        )
        constraints = (
            models.UniqueConstraint("job", "number", name="one_attempt_a_number"),
            models.UniqueConstraint("executor", "claim_key", name="one_attempt_a_claim"),
            models.UniqueConstraint(
                fields=("job",),
                condition=Q(ended_at__isnull=True),
                name="one_open_attempt_a_job",
            ),
            models.UniqueConstraint(
                fields=("job",), condition=Q(ending=Ending.FINISHED), name="one_result_a_job"
            ),
            models.CheckConstraint(
                name="ending_exactly_when_ended",
                condition=Q(ended_at__isnull=True, ending="")
                | Q(ended_at__isnull=False, ending__in=Ending.values),
            ),
            models.CheckConstraint(
                name="outcome_exactly_with_a_result",
                condition=Q(
                    ending__in=(Ending.FINISHED, Ending.SUPERSEDED), outcome__in=Outcome.values
                )
                | (~Q(ending__in=(Ending.FINISHED, Ending.SUPERSEDED)) & Q(outcome="")),
            ),
        )

    def __str__(self) -> str:
        return f"attempt {self.number} of job {self.job_id}"


class OutputFile(models.Model):
    """A file that an attempt's program left in `./out/`; shown once its attempt has a result."""

    attempt = models.ForeignKey(
        Attempt, on_delete=models.CASCADE, related_name="files", db_index=False
    )
    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ("attempt", "name")
        constraints = (models.UniqueConstraint("attempt", "name", name="one_file_a_name"),)

    def __str__(self) -> str:
        return f"{self.name} of {self.attempt}"


class OutputPart(models.Model):
    """Some of an output file's bytes.

    In parts, because a database reads the whole of a value to give any of it: a slow download
    would cost all of a file's memory at each step.
    """

    file = models.ForeignKey(
        OutputFile, on_delete=models.CASCADE, related_name="parts", db_index=False
    )
    number = models.PositiveSmallIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ("file", "number")
        constraints = (models.UniqueConstraint("file", "number", name="one_part_a_number"),)

    def __str__(self) -> str:
        return f"part {self.number} of {self.file}"


class FailuresSeen(models.Model):
    """Until when staff have looked at jobs that failed: one row (jobs/failures.py)."""

    until = models.DateTimeField()
    actor = models.CharField(max_length=150)

    def __str__(self) -> str:
        return f"seen by {self.actor}"
