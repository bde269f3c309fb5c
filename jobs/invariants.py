"""What must hold whatever happened: `telerun_db check` names each thing that does not.

Counting is done by the database, and the audit log is read line by line, so that a large
queue can be checked while it serves.
"""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import BigIntegerField, Count, F, Max, Min, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Length

from jobs.audit.file import follow, line_of
from jobs.kept.sizes import LOGS, SOURCES
from jobs.live import retention as live
from jobs.models import Attempt, AuditCounter, AuditEntry, Job, Kept, OutputFile
from jobs.retention import JOBS_DELETED
from jobs.states import FINAL, Ending, Event, State

MOST = 20  # faults of one kind that are named


def violations() -> list[str]:
    """A sentence for each invariant that does not hold; none when all is well.

    A first look lets everyone work. Only if it finds something is a second one taken, with
    the audit counter locked: no job changes state then, and what is still wrong is wrong.
    """
    if not _look():
        return []
    with transaction.atomic():
        list(AuditCounter.objects.select_for_update())
        return _look()


def _look() -> list[str]:
    faults = [fault for check in CHECKS for fault in islice(check(), MOST)]
    # Of what is lost the count is wrong too: that is no second fault.
    return faults or list(islice(_what_is_kept_is_counted(), MOST))


def _attempts_fit_the_state() -> Iterator[str]:
    jobs = Job.objects.annotate(
        all=Count("attempts"),
        open=Count("attempts", filter=Q(attempts__ended_at__isnull=True)),
        results=Count("attempts", filter=Q(attempts__ending=Ending.FINISHED)),
        last=Max("attempts__number"),
    )
    running, finished = Q(state=State.RUNNING), Q(state=State.FINISHED)
    wrong = (
        (running & ~Q(open=1) | ~running & ~Q(open=0), "{open} open attempts"),
        (finished & ~Q(results=1) | ~finished & ~Q(results=0), "{results} results"),
        (Q(all__gt=0) & ~Q(last=F("all")), "{all} attempts, the last of them number {last}"),
    )
    for condition, words in wrong:
        for job in jobs.filter(condition).order_by("pk").iterator():
            yield f"Job {job.pk} is {job.state} with " + words.format(**vars(job)) + "."


def _outcomes_agree() -> Iterator[str]:
    wrong = Attempt.objects.filter(ending=Ending.FINISHED).exclude(outcome=F("job__outcome"))
    for attempt in wrong.select_related("job"):
        yield (
            f"Job {attempt.job_id} is {attempt.job.outcome!r}, "
            f"but its result is {attempt.outcome!r}."
        )


def _files_belong_to_results() -> Iterator[str]:
    """No file of an attempt that ended without a result, and every file that a result lists."""
    results = Q(attempt__ending__in=(Ending.FINISHED, Ending.SUPERSEDED))
    useless = OutputFile.objects.exclude(results | Q(attempt__ended_at__isnull=True))
    for file in useless.select_related("attempt").iterator():
        yield f"Job {file.attempt.job_id} keeps file {file.pk} of an attempt without a result."
    whole = OutputFile.objects.annotate(kept=Sum(Length("parts__content"), default=0))
    for file in whole.exclude(kept=F("size")).select_related("attempt").iterator():
        yield f"Job {file.attempt.job_id} has {file.kept} of {file.size} bytes of file {file.pk}."
    with_files = Attempt.objects.filter(details__has_key="files")
    for attempt in with_files.only("job_id", "number", "details").iterator():
        kept = dict(attempt.files.values_list("name", "size"))
        for listed in attempt.details["files"]:
            if "removed" not in listed and kept.get(listed["name"]) != listed["size"]:
                yield f"Job {attempt.job_id} lists file {listed['name']!r}, which is not kept."


def _what_is_kept_is_counted() -> Iterator[str]:
    """Each kind by one query: what is counted and what there is, at one moment."""
    user = OuterRef("user")
    kinds = {
        "sources": (Job.objects.filter(user=user), "user", SOURCES),
        "logs": (Attempt.objects.filter(job__user=user), "job__user", LOGS),
        "files": (
            OutputFile.objects.filter(attempt__job__user=user),
            "attempt__job__user",
            F("size"),
        ),
    }
    for kind, (those, whose, size) in kinds.items():
        found = those.order_by().values(whose).annotate(found=Sum(size)).values("found")
        counted = Kept.objects.annotate(
            found=Coalesce(Subquery(found), 0, output_field=BigIntegerField())
        )
        for kept in counted.exclude(found=F(kind)).select_related("user"):
            yield (
                f"{kept.found} bytes of {kind} are kept of user {kept.user}, "
                f"but {getattr(kept, kind)} are counted."
            )
    for job in Job.objects.exclude(user__in=Kept.objects.values("user")).only("pk"):
        yield f"Job {job.pk} is kept, and nothing is counted of its user."


def _every_submission_is_accounted_for() -> Iterator[str]:
    """accepted = over + queued + running, but for what the audit log says was deleted."""
    deleted = set()
    for entry in AuditEntry.objects.filter(action=JOBS_DELETED).iterator():
        deleted |= set(entry.request["jobs"])
    submitted = AuditEntry.objects.filter(action=Event.SUBMITTED)
    gone = submitted.exclude(job_id__in=Job.objects.values("pk")).order_by("job_id")
    for job_id in gone.values_list("job_id", flat=True).iterator():
        if job_id not in deleted:
            yield f"Job {job_id} was submitted and is gone, and no audit entry says why."
    unknown = Job.objects.exclude(pk__in=submitted.values("job_id")).order_by("pk")
    for job_id in unknown.values_list("pk", flat=True).iterator():
        yield f"Job {job_id} has no audit entry of its submission."


def _every_end_is_recorded_once() -> Iterator[str]:
    """As often as a job was over, less the times it was brought back, it is over now."""
    ends = Q(action__in=(Event.FINISHED, Event.CANCELLED, Event.FAILED, Event.REPLACED))
    counted = (
        AuditEntry.objects.filter(ends, job_id__isnull=False)
        .values("job_id")
        .annotate(ends=Count("pk"), last=Max("pk"))
    )
    ended = {row["job_id"]: row for row in counted.iterator()}
    back = _times_brought_back()
    for job_id, state in Job.objects.values_list("pk", "state").iterator():
        ends_of = ended.get(job_id, {"ends": 0})["ends"]
        if ends_of - back.get(job_id, 0) != (state in FINAL):
            yield (
                f"Job {job_id} is {state}, but its audit entries end it {ends_of} times "
                f"and bring it back {back.get(job_id, 0)} times."
            )


def _times_brought_back() -> dict[int, int]:
    requeued = AuditEntry.objects.filter(action=Event.REQUEUED, request__was_over=True)
    rows = requeued.values("job_id").annotate(times=Count("pk"))
    return {row["job_id"]: row["times"] for row in rows.iterator()}


def _the_audit_log_has_no_gap() -> Iterator[str]:
    ids = AuditEntry.objects.aggregate(count=Count("pk"), first=Min("pk"), last=Max("pk"))
    counter = AuditCounter.objects.aggregate(last=Max("last_id", default=0))["last"]
    if (ids["last"] or 0) != counter:
        yield f"The last audit entry is {ids['last']}, but the counter says {counter}."
    if ids["count"] and (ids["first"], ids["count"]) != (1, ids["last"]):
        yield f"The audit table has {ids['count']} entries from {ids['first']} to {ids['last']}."


def _the_file_follows_the_table() -> Iterator[str]:
    follow(at_once=True)
    path: Path = settings.TELERUN_AUDIT_LOG
    try:
        file = path.open("rb")
    except OSError as error:
        yield f"{path} cannot be read: {error.strerror}."
        return
    with file:
        for number, entry in enumerate(AuditEntry.objects.order_by("id").iterator(500), start=1):
            line = file.readline()
            if line != line_of(entry):
                yield f"Line {number} of {path} is {_named(line)}, not audit entry {entry.id}."
                return
        extra = file.readline()
        # What was recorded since the table was read has its entry by now.
        if extra and not AuditEntry.objects.filter(pk=_id_in(extra)).exists():
            yield f"{path} goes on after the last audit entry, with {_named(extra)}."


def _id_in(line: bytes) -> int:
    try:
        return int(json.loads(line)["id"])
    except (ValueError, TypeError, KeyError):
        return -1


def _named(line: bytes) -> str:
    if not line:
        return "missing"
    return f"entry {_id_in(line)}" if _id_in(line) >= 0 else "not an entry"


def _live_output_can_be_kept() -> Iterator[str]:
    """On SQLite its file is made anew if it is broken: it holds nothing that was promised."""
    try:
        with transaction.atomic():
            live.look_after()
    except DatabaseError as error:
        yield f"Live output cannot be kept: {str(error).strip()}."


CHECKS: tuple[Callable[[], Iterator[str]], ...] = (
    _attempts_fit_the_state,
    _outcomes_agree,
    _files_belong_to_results,
    _every_submission_is_accounted_for,
    _every_end_is_recorded_once,
    _the_audit_log_has_no_gap,
    _the_file_follows_the_table,
    _live_output_can_be_kept,
)
