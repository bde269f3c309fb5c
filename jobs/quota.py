"""Room for what comes: of a user of whom too much is kept, the oldest output files go, then the
oldest logs (ADR 37).

Sources stay, and so does all that is of the user's newest job, and of jobs that are not over.
"""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import Max, Q

from courses import limits
from foundation import figures
from foundation.database.statements import update
from foundation.serving import greenlets, waiting
from jobs import audit, transitions
from jobs.audit import Entry
from jobs.kept import counting
from jobs.kept.counting import Bytes
from jobs.kept.sizes import LOGS, SIZES
from jobs.models import Attempt, Job, Kept, OutputFile
from jobs.states import FINAL

log = logging.getLogger(__name__)

FILES_REMOVED, LOGS_REMOVED = "files-removed", "logs-removed"  # in the audit log
QUOTA = "quota"  # why: what a result's list of files says
# A little more goes than must, so that what may go is sought now and then, not each time.
_MORE = 32  # a share of the quota
# In one transaction: for as long nobody else writes to SQLite.
_MOST_BYTES = 16 << 20
_MOST_ROWS = 500
_MOST_STEPS = 20  # of one user, in one sweep
_LEAST_LOGS = 1024  # what is shorter is not worth a note about it


class _Removable(NamedTuple):
    """An output file, or the logs of an attempt."""

    key: int
    job: int
    size: int


def why() -> str:
    """Why something was removed, in words."""
    quota = figures.size(limits.user_quota_bytes())
    return f"removed, because the queue keeps {quota} of a user, and the oldest go first"


def settle() -> None:
    """Makes room for those of whom too much is kept, as this process has noticed. After the
    transaction; the request does not wait for it, where there are greenlets."""
    if not counting.noticed:
        return
    if greenlets.in_native_thread():
        _settle()
    else:
        greenlets.spawn(lambda: greenlets.in_a_thread(_settle), "quota")


def _settle() -> None:
    try:
        while counting.noticed:
            make_room(counting.noticed.pop())
    except KeyError:  # another one has taken it
        pass
    except DatabaseError as error:  # the sweep comes back to it
        log.warning("No room could be made: %s", str(error).strip())


def look_after() -> None:
    """Makes room for all who need it, some at a time, beside the sweep. Raises DatabaseError."""
    if quota := limits.user_quota_bytes():
        full = Kept.objects.alias(all=counting.IN_ALL).filter(all__gt=quota)
        for user_id in full.values_list("pk", flat=True):
            make_room(user_id)


def make_room(user_id: int) -> None:
    """Removes what is oldest until no more than the quota is kept, or nothing is left that may go;
    some 300 MiB at most. Raises DatabaseError."""
    for _ in range(_MOST_STEPS):
        kept = Kept.objects.filter(pk=user_id).first()
        if kept is None or (excess := _bytes(kept).excess) <= 0:
            return
        least = min(excess + limits.user_quota_bytes() // _MORE, _MOST_BYTES)
        if not (_remove_files(user_id, least) or _remove_logs(user_id, least)):
            return


def _bytes(kept: Kept) -> Bytes:
    return Bytes(kept.sources, kept.logs, kept.files)


# --- What may go --------------------------------------------------------------------------


def _old(user_id: int, attempt: str = "") -> Q:
    """Attempts of which something may be removed; `attempt`: the way to them, with `__`."""
    newest = Job.objects.filter(user=user_id).aggregate(last=Max("pk", default=0))["last"]
    about = {"job__user": user_id, "job__state__in": FINAL, "job__lt": newest}
    about["ended_at__isnull"] = False
    return Q(**{attempt + name: value for name, value in about.items()})


def _enough(found: Iterable[tuple[int, int, int]], least: int) -> list[_Removable]:
    """The first that come to so many bytes."""
    those: list[_Removable] = []
    for row in found:
        if sum(one.size for one in those) >= least:
            break
        those.append(_Removable(*row))
    return those


def _locked_jobs(user_id: int, those: list[_Removable]) -> list[Job]:
    """The jobs, if they are still over and there is still no room for all that is kept.

    Whoever deletes or requeues a job holds its row: such a job is passed over. That nobody waits
    for a job here is why the user's `Kept` may be locked before.
    """
    kept = Kept.objects.select_for_update().filter(pk=user_id).first()
    if kept is None or _bytes(kept).excess <= 0:
        return []
    jobs = Job.objects.select_for_update(skip_locked=True, no_key=True).without_texts()
    return list(jobs.filter(pk__in={one.job for one in those}, state__in=FINAL).order_by("pk"))


# --- What goes ----------------------------------------------------------------------------


def _remove_files(user_id: int, least: int) -> bool:
    """Removes the oldest output files; whether any."""
    files = OutputFile.objects.filter(_old(user_id, "attempt__"), size__gt=0)
    files = files.order_by("attempt__ended_at", "pk")
    those = _enough(files.values_list("pk", "attempt__job", "size")[:_MOST_ROWS], least)
    return bool(those) and _delete_files(user_id, those)


@transaction.atomic
def _delete_files(user_id: int, those: list[_Removable]) -> bool:
    jobs = {job.pk: job for job in _locked_jobs(user_id, those)}
    keys = [one.key for one in those]
    files = OutputFile.objects.filter(pk__in=keys, attempt__job__in=jobs).order_by("attempt", "pk")
    whole = files.select_related("attempt").defer(*(f"attempt__{log}" for log in transitions.LOGS))
    sizes: dict[Attempt, dict[str, int]] = {}
    for file in whole:
        sizes.setdefault(file.attempt, {})[file.name] = file.size
    files.order_by().delete()
    entries = []
    for attempt, removed in sizes.items():
        _note_in(attempt, removed)
        about = {"files": [*removed], "bytes": sum(removed.values())}
        entries.append(_entry(FILES_REMOVED, attempt, about))
    return _finish(user_id, jobs, entries, files=sum(e.request["bytes"] for e in entries))


def _note_in(attempt: Attempt, removed: dict[str, int]) -> None:
    """The list of a result's files says what is there no longer."""
    if "files" in attempt.details:
        files = [
            {**file, "removed": QUOTA} if file["name"] in removed else file
            for file in attempt.details["files"]
        ]
        update(Attempt, {"id": attempt.pk}, details={**attempt.details, "files": files})


def _remove_logs(user_id: int, least: int) -> bool:
    """Removes the oldest logs; whether any."""
    logs = Attempt.objects.filter(_old(user_id)).annotate(size=LOGS).order_by("ended_at", "pk")
    logs = logs.filter(size__gt=_LEAST_LOGS)
    those = _enough(logs.values_list("pk", "job", "size")[:_MOST_ROWS], least)
    return bool(those) and _empty_logs(user_id, those)


@transaction.atomic
def _empty_logs(user_id: int, those: list[_Removable]) -> bool:
    """A note takes the place of each log: whoever shows it tells of it."""
    jobs = {job.pk: job for job in _locked_jobs(user_id, those)}
    attempts = Attempt.objects.filter(pk__in=[one.key for one in those], job__in=jobs)
    note = f"[This log was {why()}.]\n".encode()
    entries = []
    for attempt in attempts.annotate(**SIZES).only("job", "number").order_by("pk"):
        sizes = {name: getattr(attempt, f"{name}_bytes") for name in transitions.LOGS}
        long = [name for name, size in sizes.items() if size > len(note)]
        if not long:  # somebody else was faster
            continue
        update(Attempt, {"id": attempt.pk}, **dict.fromkeys(long, note))
        gone = sum(sizes[name] - len(note) for name in long)
        entries.append(_entry(LOGS_REMOVED, attempt, {"bytes": gone}))
    return _finish(user_id, jobs, entries, logs=sum(e.request["bytes"] for e in entries))


def _entry(action: str, attempt: Attempt, about: dict[str, Any]) -> Entry:
    request = {"attempt": attempt.number, **about, "reason": QUOTA}
    return Entry(transitions.SYSTEM, action, attempt.job_id, request)


def _finish(user_id: int, jobs: dict[int, Job], entries: list[Entry], **sizes: int) -> bool:
    """Counts, and tells those who look at the jobs."""
    if not entries:
        return False
    for job_id in sorted({entry.job_id for entry in entries if entry.job_id}):
        update(Job, {"id": job_id}, version=jobs[job_id].version + 1)
        waiting.announce(job_id)
    counting.add(user_id, **{kind: -size for kind, size in sizes.items()})
    audit.record(*entries)
    return True
