"""Who may talk to the queue: users (students and staff) and executors (GPU hosts)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from accounts import tokens
from accounts.recorded import Recorded
from foundation.acting import COMMAND

CUDA, CPU = "cuda", "cpu"  # platforms that are known whatever the host
PLATFORM_LENGTH = 40
PLATFORM_NAME = r"^[a-z0-9][a-z0-9._-]*\Z"
PLATFORM_RULE = "A platform's name is small letters, digits, '.', '_' and '-', such as h100."
RESERVED_NAMES = ("system", COMMAND)  # the audit log's names for the queue and for commands
PURGED = "purged-"  # how the pseudonyms begin of those who are forgotten


class TokenBearer(Recorded):
    """Bears at most one token, stored as a digest; issuing a new one revokes the old."""

    token_prefix: ClassVar[str]

    token_digest = models.CharField(
        max_length=64, unique=True, null=True, blank=True, editable=False
    )
    token_issued_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def issue_token(self) -> str:
        """Gives the bearer a new token and returns it: the one time it can be seen."""
        token = tokens.make(self.token_prefix)
        self._store(tokens.digest(token))
        return token

    def revoke_token(self) -> None:
        """Leaves the bearer without a token."""
        self._store(None)

    def _store(self, digest: str | None) -> None:
        self.token_digest = digest
        self.token_issued_at = timezone.now() if digest else None
        self.save(update_fields=["token_digest", "token_issued_at"])


class User(TokenBearer, AbstractUser):
    """A student or a member of staff. Students have a token and no password."""

    token_prefix = tokens.USER_PREFIX
    NOT_SETTINGS = ("last_login", "date_joined")

    # A column stays once a release had it: a server that is not upgraded yet may read it.
    last_turn = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="No longer used: before there were platforms (Turn), when the user was last "
        "served.",
    )

    session_generation = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="One more ends the sessions that began before (accounts/sessions.py).",
    )

    class Meta:
        permissions = (
            ("manage_staff", "Can say who is staff, set passwords, and ask for a second factor"),
            ("purge_user", "Can purge a user's data"),
        )

    def clean(self) -> None:
        super().clean()
        if self.username.lower() in RESERVED_NAMES:
            raise ValidationError(f"{self.username!r} is the audit log's own name; choose another.")
        if self.username.lower().startswith(PURGED) and self._is_new_name():
            raise ValidationError(f"A name that begins with {PURGED!r} is of somebody forgotten.")

    @property
    def is_forgotten(self) -> bool:
        """Whether the person was purged, and the row is a pseudonym's."""
        return self.username.startswith(PURGED)

    def _is_new_name(self) -> bool:
        return not User.objects.filter(pk=self.pk, username=self.username).exists()

    def get_session_auth_hash(self) -> str:
        """What a session must hold to be one of this user: a new password ends it, and so does a
        new generation."""
        return super().get_session_auth_hash() + self._generation()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same with Django's older keys."""
        return (one + self._generation() for one in super().get_session_auth_fallback_hash())

    def end_sessions(self) -> None:
        """Logs the user out everywhere."""
        User.objects.filter(pk=self.pk).update(
            session_generation=models.F("session_generation") + 1
        )
        self.refresh_from_db(fields=["session_generation"])

    def _generation(self) -> str:
        return f".{self.session_generation}" if self.session_generation else ""


class Turn(models.Model):
    """When a user was last served on a platform. No row: never."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    platform = models.CharField(max_length=PLATFORM_LENGTH)
    last_turn = models.BigIntegerField(
        help_text="The id of that attempt. An id only grows, whatever the clock does."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "platform"), name="one_turn_a_platform"),
        )

    def __str__(self) -> str:
        return f"{self.user_id} on {self.platform}"


class Executor(TokenBearer):
    """A GPU host's program, by the name that its auth.json gives."""

    token_prefix = tokens.EXECUTOR_PREFIX

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
                "A name is letters, digits, '.', '_' and '-', and begins with a letter or digit.",
            )
        ],
    )
    enabled = models.BooleanField(
        default=True,
        help_text="Off: it gets no more jobs. What it runs now may finish.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    about = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What it last told of itself."
    )

    # What Django REST framework and the permission classes ask of a request's user.
    is_authenticated = True
    is_active = True

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def audit_name(self) -> str:
        """What the audit log calls it, so that no user's name can be mistaken for it."""
        return f"executor:{self.name}"

    @property
    def quarantined_gpus(self) -> list["Gpu"]:
        """Those that it gives no jobs to, because they failed."""
        return [gpu for gpu in self.gpus.all() if gpu.condition == "quarantined"]

    @property
    def is_unboxed(self) -> bool:
        """Whether it reports that its programs run without a sandbox."""
        return isinstance(self.about, dict) and self.about.get("sandbox") == "none"

    @property
    def is_alive(self) -> bool | None:
        """Whether it was heard of lately; None if never.

        One that lives is heard of at least each half of a lease, and that is noted up to a sixth of
        it late. So one that died is known to be dead before a whole lease is over. A time that
        lies ahead is one of a clock that was set back since.
        """
        if self.last_seen_at is None:
            return None
        silence = timedelta(seconds=settings.TELERUN_LEASE_SECONDS * 0.8)
        return abs(timezone.now() - self.last_seen_at) < silence


class Gpu(models.Model):
    """A GPU of an executor, as that last reported it (accounts/executors.py).

    Nothing in it can be relied on: all but `uuid` may be empty.
    """

    executor = models.ForeignKey(
        Executor, on_delete=models.CASCADE, related_name="gpus", db_index=False
    )
    uuid = models.CharField(max_length=100)
    place = models.PositiveSmallIntegerField(help_text="In the executor's list.")
    index = models.CharField(max_length=20, blank=True)
    name = models.CharField(max_length=200, blank=True)
    architecture = models.CharField(max_length=20, blank=True)
    driver = models.CharField(max_length=50, blank=True)
    condition = models.CharField(max_length=20, blank=True)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it is quarantined.")
    since = models.CharField(max_length=40, blank=True, help_text="By the executor's clock.")

    class Meta:
        ordering = ("executor", "place")
        verbose_name = "GPU"
        constraints = (models.UniqueConstraint(fields=("executor", "uuid"), name="one_gpu_a_uuid"),)

    def __str__(self) -> str:
        return f"GPU {self.index or '?'} ({self.name or '?'})"


class Platform(Recorded):
    """What an executor offers jobs to run on (accounts/platforms.py).

    `reported`, `slots`, `languages` and `offered_at` are the executor's word; `name` and `enabled`
    are settings of staff, which no report overwrites.
    """

    NOT_SETTINGS = ("executor", "reported", "slots", "languages", "is_older", "offered_at")

    executor = models.ForeignKey(
        Executor, on_delete=models.CASCADE, related_name="platforms", db_index=False
    )
    reported = models.CharField(max_length=PLATFORM_LENGTH, help_text="As the executor calls it.")
    slots = models.PositiveIntegerField(help_text="Jobs at once; 0: it is offered no longer.")
    languages = models.JSONField(default=list, blank=True)
    is_older = models.BooleanField(
        default=False, help_text="The executor names no platforms: it takes plain jobs alone."
    )
    offered_at = models.DateTimeField(help_text="When it was last reported anew.")
    name = models.CharField(
        max_length=PLATFORM_LENGTH,
        blank=True,
        validators=[RegexValidator(PLATFORM_NAME, PLATFORM_RULE)],
        help_text="What jobs ask for; empty: as the executor calls it.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: it gets no jobs for it.")

    class Meta:
        ordering = ("executor", "reported")
        constraints = (
            models.UniqueConstraint(fields=("executor", "reported"), name="one_platform_a_name"),
        )

    def __str__(self) -> str:
        return self.name or self.reported

    def account(self) -> tuple[str, str]:
        """Its executor's: what a host offers is recorded of the host."""
        return self.executor.account()

    def called(self, name: str) -> str:
        return f"platform {self.reported}: {name}"


class LoginCode(models.Model):
    """A user's log-in code (accounts/login_codes.py): one each, the one made last."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    token_digest = models.CharField(
        max_length=64, unique=True, null=True, help_text="Of a token that nobody has used yet."
    )

    def __str__(self) -> str:
        return f"the log-in code of {self.user_id}"


class _Count(models.Model):
    """How often something happened in a while."""

    key = models.CharField(max_length=100, primary_key=True)
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.key


class FailureCount(_Count):
    """How often something failed: wrong tokens, log-ins (accounts/failures.py)."""


class LoginCount(_Count):
    """How many log-ins are on record (accounts/logins.py)."""


class SecondFactorPolicy(models.Model):
    """One row: who must have a second factor (accounts/second_factor.py). No row: nobody."""

    class RequiredOf(models.TextChoices):
        NOBODY = "nobody", "nobody"
        OWNERS = "owners", "owners"
        STAFF = "staff", "all staff"

    required_of = models.CharField(
        max_length=10, choices=RequiredOf.choices, default=RequiredOf.NOBODY
    )

    def __str__(self) -> str:
        return f"required of {self.get_required_of_display()}"
