"""What the API answers: TypedDicts, which the OpenAPI document is made from, and who fills them.

Plain dictionaries: a serializer would cost more than the database. `docs/api.md` explains the
members; more may be added to any answer. Times are datetimes; the renderer writes ISO 8601 in UTC.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypedDict

from accounts.platforms import Service
from courses import flags, limits
from foundation.api.answers import LogText, log_text
from foundation.database.statements import Parameter, Select
from jobs import leases
from jobs.models import Attempt, Job
from jobs.outlook import Outlook
from jobs.replacing import replaced_by
from jobs.states import Ending, Outcome, Phase, State

WaitingFor = Annotated[
    Literal["turn", "gpu", "no-executor", "paused", "held", "data"] | None,
    "Its turn; a GPU of its executor (compiled); an executor that can run it. More may come.",
]
Address = Annotated[str | None, {"format": "uri"}]
PARTIAL_LOGS: Final = ("compile_log", "execute_log")
_OF_JOB = Attempt.objects.filter(job=Parameter("job")).order_by("number")
_ATTEMPTS = Select(_OF_JOB)
_ATTEMPTS_WITHOUT_LOGS = Select(_OF_JOB.defer("compile_log", "execute_log"))


class JobSummaryAnswer(TypedDict):
    """A job in a list: everything but its source, its result and its history."""

    id: int
    state: State
    phase: Annotated[Phase | None, "Of a running job."]
    outcome: Annotated[Outcome | None, "Of a finished job."]
    filename: str
    args: list[str]
    platform: Annotated[str, "The hardware that it runs on."]
    flags: Annotated[list[str], "For the compiler, after the course's."]
    files: Annotated[list[str], "Names of its other files."]
    queue_position: Annotated[int | None, "1 is served next of those that wait for its platform."]
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None


class ListedJobAnswer(JobSummaryAnswer):
    """A job in a page of one's own."""

    execute_seconds: Annotated[float | None, "How long its program ran, if it has a result."]


class SourceAnswer(TypedDict):
    """What was submitted: the texts of a job's files."""

    filename: str
    source: str
    sources: Annotated[dict[str, str], "Texts by name: compiled and linked with `source`."]
    includes: Annotated[dict[str, str], "Texts by name: placed beside it."]


class PartialLogs(TypedDict, total=False):
    """What an attempt printed that ended without a result, as far as it was kept."""

    compile_log: LogText
    execute_log: LogText


class AttemptAnswer(PartialLogs):
    """One execution of a job by one executor."""

    number: int
    executor: str
    started_at: datetime
    ended_at: datetime | None
    ending: Annotated[Ending | None, "null while it is open."]
    reason: str
    outcome: Outcome | Literal[""]


class FileAnswer(TypedDict):
    """A file of the program's `out/`."""

    name: str
    size: int


class ListedFileAnswer(FileAnswer, total=False):
    """A file that a result lists."""

    removed: Annotated[Literal["quota"], "Why it is there no longer, if it is not."]


class ResultAnswer(TypedDict):
    """What the attempt that finished a job reported."""

    compile_log: LogText
    execute_log: LogText
    exit_code: int | None
    signal: int | None
    compile_seconds: float | None
    execute_seconds: float | None
    files: list[ListedFileAnswer]
    details: dict[str, Any]


class ExpectedStart(TypedDict):
    """When the job's program is expected to begin to run: in so many seconds."""

    from_seconds: int
    to_seconds: int


class _Waits(TypedDict):
    """Of a job whose program does not run yet; null of others."""

    waiting_for: WaitingFor
    no_executor_since: Annotated[
        datetime | None, "Of `no-executor`: when one was there last, if that is known."
    ]
    jobs_before: Annotated[
        int | None, "How many end first on the hosts that may run it; 0: one has a free place."
    ]
    expected_start: Annotated[ExpectedStart | None, "null where it would be a guess."]
    queue_length: Annotated[
        int | None,
        "Of a job that waits for its turn: how many wait for its platform, a moment ago.",
    ]


class TimeLimits(TypedDict):
    """How long the compiler and the program may take."""

    compile_seconds: int
    execute_seconds: int


class _More(_Waits):
    """What else lists leave out."""

    limits: TimeLimits
    attempts: list[AttemptAnswer]
    executor: str | None
    cached: Annotated[bool | None, "Whether it was compiled before; null where nothing was."]
    replaced_by: Annotated[int | None, "The user's job that took its place in the queue."]
    texts_gone_at: Annotated[
        str | None, "Since when its files and logs are no longer kept; null: they are."
    ]


class JobAnswer(JobSummaryAnswer, _More):
    """A job with its attempts and, if it is finished, its result."""

    result: ResultAnswer | None


class ResultWithoutLogs(TypedDict):
    """A result as an event shows it: its logs are at the job's own address."""

    exit_code: int | None
    signal: int | None
    compile_seconds: float | None
    execute_seconds: float | None
    files: list[ListedFileAnswer]
    details: dict[str, Any]


class JobEvent(JobSummaryAnswer, _More):
    """A job as an event shows it."""

    result: ResultWithoutLogs | None


class OutputEvent(TypedDict):
    """Some of what an attempt's program printed. `offset` counts bytes."""

    attempt: Annotated[int, "Its number."]
    log: str
    offset: int
    text: LogText


class JobPageAnswer(TypedDict):
    """Some of a user's jobs, and where the others are."""

    count: int
    next: Address
    previous: Address
    results: list[ListedJobAnswer]


class PlatformAnswer(TypedDict):
    """A platform, as it is."""

    name: str
    executors: Annotated[int, "That can run its jobs at this moment."]
    gpus: Annotated[int, "Of these."]
    queued: Annotated[int, "Jobs that wait for it."]


class QueueAnswer(TypedDict):
    """The queue, as it is for everyone."""

    accepting: Annotated[bool, "Whether jobs may be submitted."]
    starting: Annotated[bool, "Whether jobs are given out."]
    message: Annotated[str, "What staff say of that."]
    queued: int
    running: int
    platforms: list[PlatformAnswer]
    announcements: list[dict[str, Any]]


class LeaseAnswer(TypedDict):
    """An attempt's right to report."""

    id: int
    number: int
    lease_token: str
    lease_seconds: int


class LimitsAnswer(TypedDict):
    """What a job may use: times in seconds, sizes in bytes."""

    compile_seconds: int
    execute_seconds: int
    log_bytes: int
    output_bytes: int
    memory_bytes: int
    processes: int
    disk_bytes: int
    output_files: int
    output_file_bytes: int


class ClaimedMoreAnswer(TypedDict, total=False):
    """What an executor gets that names platforms."""

    platform: Annotated[str, "One of those that were asked for."]
    sources: Annotated[dict[str, str], "Texts by name: compiled and linked with `source`."]
    includes: Annotated[dict[str, str], "Texts by name: placed beside it."]
    flags: Annotated[list[str], "For the compiler: the course's, then the job's."]
    asm: Annotated[bool, "Whether the assembler code is wanted."]


class ClaimedJobAnswer(ClaimedMoreAnswer):
    """The job to run."""

    id: int
    source: str
    filename: str
    args: list[str]
    limits: LimitsAnswer


class ClaimAnswer(TypedDict):
    """What an executor gets: its attempt's lease, and the job to run."""

    attempt: LeaseAnswer
    job: ClaimedJobAnswer
    stream: Annotated[bool, "Whether what it prints is to be sent as it comes."]


class WatchedAnswer(TypedDict):
    """What was sent is taken, or was before."""

    watched: Annotated[bool, "Whether anybody reads it as it comes, or did a moment ago."]


class HeartbeatAnswer(WatchedAnswer):
    """For how long the lease is renewed, and whether the job is to be stopped."""

    lease_seconds: int
    cancel_requested: bool


class ReportedAnswer(TypedDict):
    """The job that was reported on, as it is now."""

    job: int
    state: State


def summary(job: Job, position: int | None) -> JobSummaryAnswer:
    """A job in a list."""
    return {
        "id": job.pk,
        "state": job.state,
        "phase": job.phase or None,
        "outcome": job.outcome or None,
        "filename": job.filename,
        "args": job.args,
        "platform": job.platform,
        "flags": job.flags,
        "files": job.file_names,
        "queue_position": position,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "cancel_requested_at": job.cancel_requested_at,
    }


def listed(jobs: list[Job]) -> list[ListedJobAnswer]:
    """A page of jobs."""
    finished = [job.pk for job in jobs if job.state == State.FINISHED]
    results = Attempt.objects.filter(job__in=finished, ending=Ending.FINISHED).order_by()
    ran = dict(results.values_list("job_id", "execute_seconds"))
    return [
        {**summary(job, job.queue_position), "execute_seconds": ran.get(job.pk)} for job in jobs
    ]


def source(job: Job) -> SourceAnswer:
    """What was submitted."""
    return {
        "filename": job.filename,
        "source": job.source,
        "sources": job.sources,
        "includes": job.includes,
    }


def whole(job: Job, position: int | None, expected: Outlook) -> JobAnswer:
    """A job, its attempts and its result."""
    attempts = _attempts(job, _ATTEMPTS)
    result = _that_finished(job, attempts)
    return {
        **summary(job, position),
        **_more(job, expected, attempts, result),
        "attempts": _with_partial_logs(attempts),
        "result": _result(result) if result else None,
    }


def attempts_without_logs(job: Job) -> list[Attempt]:
    """A job's attempts, for an event."""
    return _attempts(job, _ATTEMPTS_WITHOUT_LOGS)


def event(job: Job, position: int | None, expected: Outlook, attempts: list[Attempt]) -> JobEvent:
    """A job for an event."""
    result = _that_finished(job, attempts)
    return {
        **summary(job, position),
        **_more(job, expected, attempts, result),
        "result": _result_without_logs(result) if result else None,
    }


def _more(job: Job, expected: Outlook, attempts: list[Attempt], result: Attempt | None) -> _More:
    limit = limits.of_a_job()
    return {
        "limits": {key: limit[key] for key in ("compile_seconds", "execute_seconds")},
        "attempts": [_attempt(attempt) for attempt in attempts],
        "executor": _executor(job, attempts),
        "cached": _cached(result) if result else None,
        "replaced_by": replaced_by(job),
        "texts_gone_at": job.texts_gone["at"] if job.is_over and job.texts_gone else None,
        "waiting_for": expected.waiting_for,
        "no_executor_since": expected.no_executor_since,
        "jobs_before": expected.jobs_before,
        "expected_start": expected.start and expected.start._asdict(),
        "queue_length": expected.queue_length,
    }


def claimed(attempt: Attempt, service: Service) -> ClaimAnswer:
    """A claim that got a job. An older executor gets what it knows."""
    job = attempt.job
    more: ClaimedMoreAnswer = {
        "platform": service.called(job.platform),
        "sources": job.sources,
        "includes": job.includes,
        "flags": [*flags.of_the_course(job.language), *job.flags],
        "asm": job.asm,
    }
    return {
        "attempt": {
            "id": attempt.pk,
            "number": attempt.number,
            "lease_token": attempt.lease_token,
            "lease_seconds": leases.seconds(),
        },
        "job": {
            "id": job.pk,
            "source": job.source,
            "filename": job.filename,
            "args": job.args,
            "limits": limits.of_a_job(),
            **({} if service.is_older else more),
        },
        "stream": job.cancel_requested_at is None,  # it is, where the same claim comes again
    }


def reported(job: Job) -> ReportedAnswer:
    """A report that was taken."""
    return {"job": job.pk, "state": job.state}


def _attempts(job: Job, select: Select[Attempt]) -> list[Attempt]:
    if job.version == 1:  # new: there can be none
        return []
    return select.all(job=job.pk)


def _executor(job: Job, attempts: list[Attempt]) -> str | None:
    """Who ran it last; of one that waits again, nobody."""
    held = attempts and not (job.state in (State.QUEUED, State.CANCELLED) and not job.started_at)
    return attempts[-1].executor_name if held else None


def _that_finished(job: Job, attempts: list[Attempt]) -> Attempt | None:
    if job.state != State.FINISHED:
        return None
    return next((a for a in attempts if a.ending == Ending.FINISHED), None)


def _cached(result: Attempt) -> bool | None:
    """Whether its program was there from an earlier compile; scripts are not compiled."""
    return bool(result.details.get("compiled_before")) if result.compile_seconds else None


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return {
        "number": attempt.number,
        "executor": attempt.executor_name,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "ending": attempt.ending or None,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
    }


_NOTE_BYTES = 64  # in a log that was shortened, of what is left out


def _with_partial_logs(attempts: list[Attempt]) -> list[AttemptAnswer]:
    """With the logs of attempts without a result; of the latest first, as much as two logs of a
    result may be, so that no job's answer grows without end."""
    room, shown = 2 * (limits.of_a_job()["log_bytes"] + _NOTE_BYTES), []
    for attempt in reversed(attempts):
        answer = _attempt(attempt)
        if not attempt.outcome and attempt.ending:
            for name in PARTIAL_LOGS:
                kept = getattr(attempt, name)
                if 0 < len(kept) <= room:
                    room -= len(kept)
                    answer[name] = log_text(kept)
        shown.append(answer)
    return shown[::-1]


def logs_size(document: JobAnswer) -> int:
    """How many characters of logs a job's answer has."""
    shown: list[Any] = [document["result"] or {}, *document["attempts"]]
    return sum(len(part.get(name, "")) for part in shown for name in PARTIAL_LOGS)


def _result(attempt: Attempt) -> ResultAnswer:
    return {
        "compile_log": log_text(attempt.compile_log),
        "execute_log": log_text(attempt.execute_log),
        **_result_without_logs(attempt),
    }


def _result_without_logs(attempt: Attempt) -> ResultWithoutLogs:
    return {
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "compile_seconds": attempt.compile_seconds,
        "execute_seconds": attempt.execute_seconds,
        "files": attempt.details.get("files", []),
        "details": {k: v for k, v in attempt.details.items() if k != "files"},
    }
