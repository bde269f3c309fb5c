"""A person is forgotten under a random pseudonym (docs/adr/0034).

One transaction shuts the person out and notes in a `Purge` row how they are found; then each step
may be killed and done again: their jobs end, lose what they hold, the audit log loses the name, its
file is written anew. The row goes last. Times, states and outcomes of jobs stay, for statistics.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from accounts import failures, purging, roles
from accounts.logins import UNKNOWN
from accounts.models import User
from accounts.purging import Purged, Unfinished
from foundation.database import connections
from foundation.problems import NotFound
from jobs import audit, cancelling, retention
from jobs.audit import Entry, file, rewriting
from jobs.audit.models import AuditEntry, Purge
from jobs.audit.rewriting import Rewritten, Words
from jobs.models import Attempt, BulkAction, FailuresSeen, Job
from jobs.states import Event

USER_PURGED = "user-purged"
_CHANGED = "user-changed"
# Columns that hold names of those who did something, beside the audit log's.
_ACTORS = (
    (BulkAction, "actor"),
    (BulkAction, "stopped_by"),
    (FailuresSeen, "actor"),
    (Purge, "actor"),
)

# Members of entries about a job that say nothing of whose it is.
_SAY_NOTHING = ("attempt", "outcome", "was_over", "replaced_by", "platform", "was", "bytes",
                "not_kept", "why")  # fmt: skip


class _Span(NamedTuple):
    """A name, and the audit entries for which it was this person's: after one, up to another."""

    name: str
    after: int
    until: int | None

    def entries(self) -> Q:
        beyond = Q() if self.until is None else Q(id__lte=self.until)
        return Q(id__gt=self.after) & beyond

    def holds(self, entry_id: int) -> bool:
        return self.after < entry_id and (self.until is None or entry_id <= self.until)


def purge(name: str, actor: str) -> Purged:
    """Forgets the person of this name; also where that was begun and not ended, by the pseudonym as
    well, and one whose account was deleted. Raises ValidationError, Unfinished."""
    connections.forget_thoroughly()
    plan = _begin(name, actor)
    words = Words([*(span.name for span in _spans(plan)), *plan.emails], plan.pseudonym)
    counts = {"jobs": _forget_jobs(plan, actor)}
    _forget_actors(words)  # before the entries: a bulk action of theirs may still write some
    counts["entries"] = _forget_entries(plan)
    _forget_reasons(words)
    file.follow(at_once=True)
    if not file.is_up_to_date():
        raise Unfinished(
            f"{settings.TELERUN_AUDIT_LOG} could not be written anew, so that it still holds the "
            "name. Make room on the disk, or see the server's log; then purge the person again."
        )
    is_wiped = connections.wipe()
    _end(plan, actor, counts)
    connections.empty_log()
    jobs = "1 job is" if counts["jobs"] == 1 else f"{counts['jobs']:,} jobs are"
    words = f"Purged. {jobs} kept under the name {plan.pseudonym}, without what was in them."
    return Purged(plan.pseudonym, words, _notes(is_wiped))


def unfinished() -> int:
    """How many persons are being forgotten, or were to be when something was killed."""
    return Purge.objects.count()


# --- What of them is to be found ----------------------------------------------------------


def is_begun(name: str) -> bool:
    """Whether that person's purge was begun, and not brought to its end."""
    return _begun(name) is not None


def _begun(name: str) -> Purge | None:
    for plan in Purge.objects.all():
        if name in (plan.pseudonym, *(span.name for span in _spans(plan))):
            return plan
    return None


@transaction.atomic
def _begin(name: str, actor: str) -> Purge:
    """Of two at once the second finds what the first has begun."""
    roles.take_turns()
    if begun := _begun(name):
        return begun
    purging.refuse(name, actor)
    user = User.objects.select_for_update(no_key=True).filter(username=name).first()
    if user is None and not AuditEntry.objects.filter(_by_or_about(name)).exists():
        raise ValidationError(f"There is no user {name!r}, and the audit log knows of none.")
    if user is None and (now := _called_now(name)):
        raise ValidationError(f"{name!r} is called {now!r} now: purge that name.")
    spans = list(_spans_of(name)) if user else [_Span(name, 0, None)]
    plan = Purge(
        pseudonym=purging.pseudonym(),
        user_key=user.pk if user else None,
        names=spans,
        emails=sorted(_emails(spans, user)),
        actor=actor,
        begun_at=timezone.now(),
    )
    plan.save()
    if user:
        purging.forget(user, plan.pseudonym)
    failures.forget([span.name for span in spans], _addresses(spans))
    return plan


def _spans(plan: Purge) -> list[_Span]:
    return [_Span(*span) for span in plan.names]


def _spans_of(name: str) -> Iterator[_Span]:
    """The names that the user had, the present one first, which may have been another's before.
    One that they gave up is theirs for good, unless another has taken it since."""
    until, taken = None, set()
    for entry in AuditEntry.objects.filter(action=_CHANGED).order_by("-id"):
        before, after = (entry.request.get(m, {}).get("username") for m in ("before", "after"))
        if after == name and before:
            yield _Span(name, entry.id - 1, until)
            name = before
            until = entry.id if name in taken or _is_anothers(name, entry.id) else None
        taken.add(after)
    yield _Span(name, 0, until)


def _is_anothers(name: str, since: int) -> bool:
    made = AuditEntry.objects.filter(id__gt=since, action__in=("user-created", "staff-created"))
    is_there = User.objects.filter(username=name).exists()
    return is_there or made.filter(request__name=name).exists()


def _called_now(name: str) -> str:
    """The name of whoever gave this one up and is still there; "" if there is nobody."""
    changes = AuditEntry.objects.filter(action=_CHANGED).order_by("-id")
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        change = changes.filter(request__before__username=name).first()
        if change is None or _is_anothers(name, change.id):
            return ""
        name = change.request["after"]["username"]
        if User.objects.filter(username=name).exists():
            return name
    return ""


def _by_or_about(name: str) -> Q:
    return Q(username=name) | Q(job_id__isnull=True, request__name=name)


def _emails(spans: list[_Span], user: User | None) -> set[str]:
    """Those that the account has or had."""
    found = {user.email} if user else set()
    for span in spans:
        changes = AuditEntry.objects.filter(span.entries(), action=_CHANGED)
        for request in changes.filter(request__name=span.name).values_list("request", flat=True):
            found |= {request.get(m, {}).get("email") or "" for m in ("before", "after")}
    return {email for email in found if "@" in email}


def _addresses(spans: list[_Span]) -> set[str]:
    """From where they logged in."""
    found: set[str] = set()
    for span in spans:
        by = AuditEntry.objects.filter(span.entries(), username=span.name)
        found |= {*by.exclude(address=None).order_by().values_list("address", flat=True)}
    return found


# --- Jobs ---------------------------------------------------------------------------------


def _forget_jobs(plan: Purge, actor: str) -> int:
    """A job a transaction: its files may be large."""
    if plan.user_key is None:
        return 0
    jobs = Job.objects.filter(user=plan.user_key).order_by("id")
    numbers = list(jobs.values_list("pk", flat=True))
    return sum(_forget_job(number, actor) for number in numbers)


def _forget_job(number: int, actor: str) -> bool:
    """False if somebody has deleted it meanwhile; who has it run again meanwhile loses it again."""
    try:
        while True:
            cancelling.end_now(number, actor)
            with transaction.atomic():
                if retention.forget(number):
                    return True
    except NotFound:
        return False


# --- The audit log ------------------------------------------------------------------------


def _forget_entries(plan: Purge) -> int:
    """Entries by the person, about them, and that name them in what they say."""
    spans = _spans(plan)
    # First, while their own entries say from where they came.
    strangers = AuditEntry.objects.filter(username=UNKNOWN, address__in=_addresses(spans))
    count = rewriting.rewrite(strangers, lambda e: Rewritten(e.username, e.request, None))
    for span in spans:
        words = Words([span.name, *plan.emails], plan.pseudonym)
        for those in (Q(username=span.name), _named(words)):
            entries = AuditEntry.objects.annotate(text=Cast("request", TextField()))
            found = entries.filter(span.entries(), those)
            count += rewriting.rewrite(found, lambda e, s=span, w=words: _forgotten(e, s, w, plan))
    # And what others recorded of their jobs: a host's reason, or a list of files.
    own = AuditEntry.objects.filter(action=Event.SUBMITTED, username=plan.pseudonym)
    of_jobs = AuditEntry.objects.filter(job_id__in=own.values("job_id"))
    return count + rewriting.rewrite(of_jobs, _without_words)


def _named(words: Words) -> Q:
    """What somebody else submitted is theirs, whatever stands in it."""
    found = Q(pk__in=[])
    for word in words.words:
        for written in {json.dumps(word), json.dumps(word, ensure_ascii=False)}:
            found |= Q(text__contains=written[1:-1])
    return found & ~Q(action=Event.SUBMITTED)


def _forgotten(entry: AuditEntry, span: _Span, words: Words, plan: Purge) -> Rewritten:
    is_by, is_about = entry.username == span.name, entry.request.get("name") == span.name
    username = plan.pseudonym if is_by else entry.username
    address = None if is_by else entry.address
    if is_by and entry.action == Event.SUBMITTED:
        return Rewritten(username, {"not_kept": {}, "why": retention.FORGOTTEN}, address)
    request = dict(entry.request)
    for member in ("before", "after"):
        if is_about and isinstance(values := request.get(member), dict):
            request[member] = {k: v for k, v in values.items() if isinstance(v, bool)}
    return Rewritten(username, words.out_of(request), address)


def _without_words(entry: AuditEntry) -> Rewritten:
    request = {name: value for name, value in entry.request.items() if name in _SAY_NOTHING}
    return Rewritten(entry.username, request, entry.address)


# --- Elsewhere ----------------------------------------------------------------------------


def _forget_actors(words: Words) -> None:
    """Who did something."""
    for model, column in _ACTORS:
        rows = model._base_manager.filter(**{f"{column}__in": words.words})
        rows.update(**{column: words.instead})


def _forget_reasons(words: Words) -> None:
    """Why an attempt ended."""
    for word in words.words:
        named = Attempt.objects.filter(reason__contains=word).order_by()
        for key in list(named.values_list("pk", flat=True)):
            retention.say_of_attempt(key, words.out_of)


@transaction.atomic
def _end(plan: Purge, actor: str, counts: dict[str, int]) -> None:
    """The entry of the purge; nothing says from now on who it was. Of two at once one writes it."""
    if not plan.delete()[0]:
        return
    told = {"name": plan.pseudonym, **counts}
    audit.record(Entry(actor, USER_PURGED, request=told))


def _notes(is_wiped: bool) -> list[str]:
    path: Path = settings.TELERUN_AUDIT_LOG
    ours = {f"{path.name}.{ending}" for ending in ("new", "rewrites")}
    old = sorted({p.name for p in path.parent.glob(f"{path.name}.*")} - ours)
    notes = ["Backups that were made before still hold this person, and so do copies of the audit "
             f"file elsewhere{', and here: ' + ', '.join(old) if old else ''}."]  # fmt: skip
    if not is_wiped:
        notes.append(
            "What was deleted may still be in free pages of the database's file: when nobody "
            "works, overwrite them (vacuum)."
        )
    return notes
