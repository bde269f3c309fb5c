"""What an executor reports of an attempt: heartbeats, output files, the result, giving it back.

Each report carries the lease token and counts only while the lease is this attempt's. Each is
idempotent: sent again, it changes nothing.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Executor
from foundation.database import connections
from foundation.database.statements import Parameter, Select, update
from foundation.problems import NotFound
from foundation.serving import waiting
from jobs import audit, errors, leases, outputs
from jobs.audit import Entry
from jobs.digests import digest_of
from jobs.kept import counting
from jobs.models import Attempt, Job, OutputFile, OutputPart
from jobs.states import Ending, Event
from jobs.transitions import end, end_without_result, locked, move

# For so long after a cancelled attempt was ended without its executor, that may send its logs.
LATE_LOGS = timedelta(minutes=5)
_REPORTED = {"logs": "reported"}  # details of an attempt that was given back with its logs

_ATTEMPT = Select(
    Attempt.objects.filter(pk=Parameter("attempt"), executor=Parameter("executor"))
    .order_by().defer("compile_log", "execute_log", "details")
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What an attempt reports. Logs are bytes; times in seconds; `details` is any JSON object."""

    outcome: str
    compile_log: bytes = b""
    execute_log: bytes = b""
    exit_code: int | None = None
    signal: int | None = None
    compile_seconds: float | None = None
    execute_seconds: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        return digest_of(self.__dict__)


@dataclass(frozen=True)
class Heartbeat:
    """The answer to a heartbeat."""

    lease_seconds: int
    cancel_requested: bool
    job_id: int


@transaction.atomic
def heartbeat(executor: Executor, attempt_id: int, lease_token: str, phase: str) -> Heartbeat:
    """Renews the lease and notes the phase. Raises NotFound, LeaseLost."""
    connections.may_be_lost()
    job, attempt = _held(executor, attempt_id, lease_token)
    lease = {"lease_expires_at": timezone.now() + leases.length()}
    if not update(Attempt, {"id": attempt.pk, "ended_at": None}, **lease):
        raise errors.LeaseLost
    if phase != job.phase:
        update(Job, {"id": job.pk}, phase=phase, version=job.version + 1)
        waiting.announce(job.pk)
    return Heartbeat(leases.seconds(), job.cancel_requested_at is not None, job.pk)


@transaction.atomic
def keep_file(
    executor: Executor, attempt_id: int, lease_token: str, name: str, content: bytes
) -> None:
    """Keeps a file of the attempt's program, in place of one of that name; its result lists it.

    After the attempt's end only what is there already is taken again.
    Raises NotFound, LeaseLost, FilesTooLarge.
    """
    job, attempt = _held(executor, attempt_id, lease_token)
    digest = hashlib.sha256(content).hexdigest()
    if not Attempt.objects.open().filter(pk=attempt.pk).exists():
        if not attempt.files.filter(name=name, digest=digest).exists():
            raise errors.LeaseLost
        return
    before = attempt.files.filter(name=name)
    replaced = sum(before.values_list("size", flat=True))
    before.delete()
    outputs.check_room(attempt, name, len(content))
    file = OutputFile.objects.create(attempt=attempt, name=name, size=len(content), digest=digest)
    parts = outputs.parts_of(file, content)
    OutputPart.objects.bulk_create(parts, batch_size=outputs.PARTS_AT_ONCE)
    counting.add(job.user_id, files=len(content) - replaced)


@transaction.atomic
def finish(executor: Executor, attempt_id: int, lease_token: str, result: Result) -> Job:
    """Takes the attempt's result, which ends the job.

    A result that comes while a cancel is asked for counts: the work was done.
    Raises NotFound, LeaseLost, ResultConflict.
    """
    job, attempt = _held(executor, attempt_id, lease_token)
    digest = result.digest()
    members = {**result.__dict__, "details": outputs.confirmed(attempt, result.details)}
    if not end(job, attempt, Ending.FINISHED, result_digest=digest, **members):
        if not attempt.result_digest:
            raise errors.LeaseLost
        if attempt.result_digest != digest:
            raise errors.ResultConflict
        return job
    move(job, Event.FINISHED, phase="", outcome=result.outcome, finished_at=timezone.now())
    request = {"attempt": attempt.number, "outcome": result.outcome}
    audit.record(Entry(executor.audit_name, Event.FINISHED, job.pk, request))
    return job


@transaction.atomic
def release(
    executor: Executor,
    attempt_id: int,
    lease_token: str,
    reason: str,
    logs: Mapping[str, bytes] = MappingProxyType({}),
    *,
    counts: bool = True,
) -> Job:
    """The executor gives the job back. `logs`: what was printed until then, `compile_log` and
    `execute_log`, in place of what was streamed. `counts`: whether that is one of the job's
    attempts; it is not where the reason is the host's alone. Raises NotFound, LeaseLost."""
    job, attempt = _held(executor, attempt_id, lease_token)
    reported = {**logs, "details": _REPORTED} if logs else {}
    actor, ending = executor.audit_name, Ending.RELEASED
    if end_without_result(job, attempt, ending, reason, actor, counts=counts, **reported):
        return job
    if attempt.ending not in (Ending.RELEASED, Ending.CANCELLED):
        raise errors.LeaseLost
    if logs and _may_still_tell(attempt):
        counting.add(job.user_id, logs=_growth(attempt, logs))
        update(Attempt, {"id": attempt.pk}, **reported)
        update(Job, {"id": job.pk}, version=job.version + 1)
        waiting.announce(job.pk)
        job.version += 1
    return job


def _may_still_tell(attempt: Attempt) -> bool:
    """Whether the logs of an attempt that was cancelled are taken after its end: once."""
    if attempt.ending != Ending.CANCELLED or attempt.details == _REPORTED:
        return False
    return timezone.now() - attempt.ended_at < LATE_LOGS


def _growth(attempt: Attempt, logs: Mapping[str, bytes]) -> int:
    """How many bytes more the attempt has with these logs in place of its own."""
    return sum(len(log) - len(getattr(attempt, name)) for name, log in logs.items())


def _held(executor: Executor, attempt_id: int, lease_token: str) -> tuple[Job, Attempt]:
    """The executor's own attempt with its job, which is locked. Raises NotFound, LeaseLost.

    The attempt is as it was before the lock was had: change it on a condition (`end`).
    """
    attempt = _ATTEMPT.first(attempt=attempt_id, executor=executor.pk)
    if attempt is None:
        raise NotFound(f"There is no attempt {attempt_id} of this executor.")
    if not secrets.compare_digest(attempt.lease_token.encode(), lease_token.encode()):
        raise errors.LeaseLost("The lease token is not this attempt's.")
    return locked(attempt.job_id), attempt
