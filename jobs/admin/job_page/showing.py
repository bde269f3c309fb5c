"""What a job's page shows, found and put into words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models.functions import Length
from django.utils import timezone
from django.utils.safestring import SafeString

from courses import limits
from foundation import figures
from foundation.admin import as_json
from jobs import outlook, quota
from jobs.admin.job_page import difference
from jobs.admin.job_page.logs import LOGS, CompilerLog, ShownLog, as_chunks, room_of_a_page
from jobs.admin.job_page.sources import Excerpt, ShownSource, Sources
from jobs.admin.job_page.timeline import Moment, is_late, moment, timeline_of
from jobs.api.v1 import answers
from jobs.audit.history import Happening, history_of, who_cancelled, who_requeued
from jobs.audit.models import AuditEntry
from jobs.compile_errors import Names, count_of, first_error
from jobs.models import Attempt, Job
from jobs.states import Ending, Event, Outcome, State
from jobs.verdict import Known, Verdict, verdict_of
from jobs.words import facts, left_out

_NEIGHBOURS = 5  # jobs of the owner before this one that it may have replaced


class ShownFile(NamedTuple):
    """A file that a program left."""

    name: str
    size: str
    gone: str  # why it is not there any longer


class ShownAttempt(NamedTuple):
    """One execution of a job: its logs, its files, what else its executor told."""

    attempt: Attempt
    logs: list[ShownLog]
    files: list[ShownFile]
    details: SafeString | str


class Neighbours(NamedTuple):
    """Other jobs that lead on from this one."""

    before: int | None  # of the same user
    after: int | None
    replaced_by: int | None
    replaced: list[int]
    compared: int | None  # the last one of the same file name


class ShownState(NamedTuple):
    """What may change while its reader looks at it."""

    job: Job
    verdict: Verdict
    elapsed: int | None  # seconds that it has run for
    limit: int  # seconds that its program may run for
    facts: list[tuple[str, str]]
    left_out: list[str]
    moments: list[Moment]
    neighbours: Neighbours


class ShownJob(NamedTuple):
    """All that the page says."""

    state: ShownState
    attempts: list[ShownAttempt]  # the latest first
    excerpt: Excerpt | None
    sources: list[ShownSource]  # none, if they are no longer kept


def shown_state(job: Job) -> ShownState:
    """How a job stands that is not over. Raises DatabaseError."""
    return _state(job, _attempts(job), {}, {})


def shown_job(job: Job) -> ShownJob:
    """The job as it is. Raises DatabaseError."""
    attempts, sources = _attempts(job), Sources(job)
    logs, names = _logs(attempts), _names(job)
    compiler_logs = {
        number: CompilerLog(told["compile"], names, sources) for number, told in logs.items()
    }
    named = compiler_logs[max(compiler_logs)].errors if compiler_logs else []
    state = _state(job, attempts, logs, compiler_logs)
    excerpt = sources.excerpt(state.verdict.error)
    return ShownJob(
        state,
        [_shown(attempt, logs, compiler_logs) for attempt in reversed(attempts)],
        excerpt,
        sources.shown(named, excerpt.name if excerpt else ""),
    )


def _names(job: Job) -> Names:
    return Names(job.filename, [*job.sources, *job.includes])


def _state(
    job: Job,
    attempts: Sequence[Attempt],
    logs: dict[int, dict[str, bytes]],
    compiler_logs: dict[int, CompilerLog],
) -> ShownState:
    history, place = history_of(job.pk), job.queue_position
    document: Any = answers.event(job, place, outlook.of(job, place), list(attempts))
    return ShownState(
        job,
        verdict_of(_known(job, document, attempts, history, logs, compiler_logs)),
        _elapsed(job, attempts),
        limits.of_a_job()["execute_seconds"],
        facts(document),
        left_out(document),
        timeline_of(job, attempts, history),
        _neighbours(job, document["replaced_by"]),
    )


def _attempts(job: Job) -> list[Attempt]:
    """Without their logs, but with the sizes of these."""
    attempts = Attempt.objects.filter(job=job).order_by("number")
    sizes = {f"{name}_size": Length(f"{name}_log") for name in LOGS}
    return list(attempts.defer("compile_log", "execute_log").annotate(**sizes))


def _logs(attempts: Sequence[Attempt]) -> dict[int, dict[str, bytes]]:
    """By the attempts' numbers: those of the latest in any case, of others while there is room."""
    room, wanted = room_of_a_page(), []
    for attempt in reversed(attempts):
        room -= sum(getattr(attempt, f"{name}_size") for name in LOGS)
        if room < 0 and wanted:
            break
        wanted.append(attempt.pk)
    rows = Attempt.objects.filter(pk__in=wanted).values_list("number", "compile_log", "execute_log")
    return {number: {"compile": bytes(c), "execute": bytes(e)} for number, c, e in rows}


def _known(
    job: Job,
    document: Any,
    attempts: Sequence[Attempt],
    history: Sequence[Happening],
    logs: dict[int, dict[str, bytes]],
    compiler_logs: dict[int, CompilerLog],
) -> Known:
    """What the verdict rests on."""
    result = next((a for a in reversed(attempts) if a.ending == Ending.FINISHED), None)
    told = logs.get(result.number) if result else None
    is_compile_error = job.outcome == Outcome.COMPILE_ERROR and told is not None
    text, names = compiler_logs[result.number].text if is_compile_error else "", _names(job)
    return Known(
        document,
        moment,
        first_error(text, names),
        count_of(text, names),
        told["execute"] if told else b"",
        who_cancelled(history) if job.state in (State.CANCELLED, State.RUNNING) else None,
        who_requeued(history) if job.state == State.QUEUED else None,
        is_late(job, attempts),
    )


def _elapsed(job: Job, attempts: Sequence[Attempt]) -> int | None:
    if job.state != State.RUNNING or not attempts:
        return None
    return max(0, int((timezone.now() - attempts[-1].started_at).total_seconds()))


def _neighbours(job: Job, replaced_by: int | None) -> Neighbours:
    of_user = Job.objects.filter(user=job.user_id)
    older = of_user.filter(pk__lt=job.pk).order_by("-pk").values_list("pk", flat=True)
    before = list(older[:_NEIGHBOURS])
    after = of_user.filter(pk__gt=job.pk).order_by("pk").values_list("pk", flat=True).first()
    compared = difference.number_before(job)
    return Neighbours(
        before[0] if before else None, after, replaced_by, _replaced(job, before), compared
    )


def _replaced(job: Job, before: list[int]) -> list[int]:
    """Which of those before it made way for it."""
    entries = AuditEntry.objects.filter(job_id__in=before, action=Event.REPLACED)
    rows = entries.values_list("job_id", "request")
    return sorted({number for number, told in rows if told.get("replaced_by") == job.pk})


def _shown(
    attempt: Attempt,
    logs: dict[int, dict[str, bytes]],
    compiler_logs: dict[int, CompilerLog],
) -> ShownAttempt:
    number, files = attempt.number, attempt.details.get("files", [])
    content = {
        "compile": compiler_logs[number].chunks if number in logs else [],
        "execute": as_chunks(logs[number]["execute"]) if number in logs else [],
    }
    return ShownAttempt(
        attempt,
        [
            ShownLog(
                name,
                title,
                figures.size(getattr(attempt, f"{name}_size")),
                content[name],
                not getattr(attempt, f"{name}_size"),
            )
            for name, title in LOGS.items()
        ],
        [_file(file) for file in files],
        as_json({key: value for key, value in attempt.details.items() if key != "files"}),
    )


def _file(file: dict[str, Any]) -> ShownFile:
    gone = quota.why() if file.get("removed") else ""
    return ShownFile(file["name"], figures.size(file["size"]), gone)
