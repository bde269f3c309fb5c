"""How the queue stands and what that means for each job: why it waits, and when it will run.

Looked at once a second, for everyone who asks in this process; a greenlet looks while somebody
waits, and wakes those for whom a host came or went. A look that takes long is kept for longer.
"""

import logging
import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError
from django.db.models import Count
from django.utils import timezone

from accounts import platforms
from accounts.models import CPU, CUDA, Executor
from accounts.platforms import Offer
from foundation.serving import greenlets, waiting
from foundation.serving.greenlets import in_a_thread
from jobs import placing
from jobs.expectation import (
    ARRIVALS_SECONDS,
    Arrival,
    Facts,
    Forecast,
    Others,
    Queued,
    Range,
    Start,
    turns,
    turns_ago,
)
from jobs.models import Attempt, Job
from jobs.paces import Begun, Ended, Place
from jobs.placing import Kind, offers_for
from jobs.states import Ending, Phase, State

log = logging.getLogger(__name__)

_KEPT_SECONDS = 1.0
_TIMES_KEPT = 100  # as long as it took of a core, so that it costs a hundredth of one,
_LONGEST_KEPT_SECONDS = 3.0  # but no longer than this: a dead host is told within a lease
_MOST_QUEUED = 2000  # of a platform; of those behind them nothing is expected
_RECENT = 200  # attempts, or submissions
_RECENTLY = timedelta(days=7)
_DAY_SECONDS = 86_400.0  # no program runs for longer, whatever is reported
_MOST_PLACES = 256  # of an executor and a platform; no host has more


class Outlook(NamedTuple):
    """What is expected of one job."""

    waiting_for: str | None
    no_executor_since: datetime | None = None
    jobs_before: int | None = None
    start: Range | None = None
    queue_length: int | None = None  # of one that waits: how many wait for its platform


class PlatformNow(NamedTuple):
    """A platform, as it is."""

    name: str
    executors: int  # that are there
    gpus: int
    queued: int


class QueueNow(NamedTuple):
    """The queue, as it is for everyone."""

    queued: int
    running: int
    platforms: list[PlatformNow]


class Snapshot:
    """The queue at one moment."""

    def __init__(self) -> None:
        """Asks the database. Raises DatabaseError."""
        self.now = timezone.now()
        self.offers = platforms.offered(now=True)
        self._there: dict[Kind, bool] = {}
        self._queued = _counts()
        self._waiting = {name: _first_of(name) for name in self._queued}
        places, begun, ended = places_of(self.offers), _begun(), _ended(self.now)
        self._running = len(begun)
        queue = [
            Queued(job, user, name, turn)
            for name, rows in self._waiting.items()
            for job, user, turn, language, is_plain in rows
            if self._is_there(Kind(name, language, is_plain))
        ]
        self._known = {one.job for one in (*queue, *begun)}
        arrivals = _arrivals(self.now, turns([*begun, *ended]))
        workers = _compile_workers({place.executor for place in places})
        now = self.now.timestamp()
        self._forecast = _forecast(
            Facts(now, places, ended, begun, queue, arrivals, workers),
        )

    def _is_there(self, kind: Kind) -> bool:
        """Whether an executor that can run jobs of the kind was heard of just now."""
        if kind not in self._there:
            self._there[kind] = any(offer.is_there for offer in offers_for(kind, self.offers))
        return self._there[kind]

    def of(self, job: Job, place: int | None) -> Outlook:
        """All that is expected of the job; `place`: in the queue, if it is queued."""
        waits = placing.waits_for(job, self.offers)
        length = None if place is None else max(place, self._queued.get(job.platform, 0))
        if waits == placing.NOBODY:
            since = placing.last_executor_at(job, self.offers)
            return Outlook(waits, since, queue_length=length)
        start, others = self._start_of(job, place)
        if start is None:
            return Outlook(waits, queue_length=length)
        # One that came since is counted from its place by now.
        age = (timezone.now() - self.now).total_seconds() if job.pk in self._known else 0.0
        expected = start.as_range(others, max(0.0, age))
        return Outlook(waits, None, start.jobs_before, expected, length)

    def _start_of(self, job: Job, place: int | None) -> tuple[Start | None, Others | None]:
        """When it will run, and who may come before it yet; None of a job whose program runs, is
        over or is being cancelled, and where nothing is known."""
        if job.cancel_requested_at is not None:
            return None, None
        if job.state == State.RUNNING and job.phase != Phase.EXECUTING:
            return self._forecast.claimed(job.pk), None
        if place is None:
            return None, None
        queued = Queued(job.pk, job.user_id, job.platform, job.turn)
        if job.pk in self._known:
            start = self._forecast.queued(queued)
        elif self._queued.get(job.platform, 0) <= _MOST_QUEUED:
            start = self._forecast.came_since(queued, place)
        else:
            start = None
        return start, start and self._forecast.others(queued, start)

    def whole(self) -> QueueNow:
        """What anyone may know."""
        there = [offer for offer in self.offers if offer.is_there]
        names = sorted({offer.name for offer in self.offers} | set(self._queued))
        return QueueNow(
            sum(self._queued.values()),
            self._running,
            [
                PlatformNow(
                    name,
                    len({offer.executor for offer in there if offer.name == name}),
                    sum(offer.gpus for offer in there if offer.name == name),
                    self._queued.get(name, 0),
                )
                for name in names
            ],
        )

    def changed_since(self, before: "Snapshot") -> list[int]:
        """The jobs that wait and for which a host came or went."""
        return [
            job
            for name, rows in self._waiting.items()
            for job, _, _, language, is_plain in rows
            if self._is_there(kind := Kind(name, language, is_plain)) != before._is_there(kind)
        ]


def _forecast(facts: Facts) -> Forecast:
    """Nobody's job is kept back by a mistake in what is expected."""
    try:
        return Forecast(facts)
    except Exception:
        log.exception("Nothing is expected of jobs")
        return Forecast(Facts(facts.now, [], [], [], [], [], {}))


def places_of(offers: list[Offer]) -> list[Place]:
    """One for each GPU or slot of the executors that are there.

    A host offers `cuda` and its GPUs' kind for the same places.
    """
    of_executor: dict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        if offer.is_there:
            of_executor[offer.executor].append(offer)
    places = []
    for executor, offered in of_executor.items():
        wide = next((offer for offer in offered if offer.reported == CUDA), None)
        left = min(wide.places, _MOST_PLACES) if wide else 0
        for offer in offered:
            if offer is wide:
                continue
            count = min(offer.places, _MOST_PLACES)
            both = min(left, count) if offer.reported != CPU else 0
            left -= both
            names = {offer.name, wide.name} if wide else {offer.name}
            places += [Place(executor, frozenset(names))] * both
            places += [Place(executor, frozenset({offer.name}))] * (count - both)
        if wide:
            places += [Place(executor, frozenset({wide.name}))] * left
    return places


_ABOUT = ("pk", "number", "executor_id", "job__platform", "job__submitted_at", "started_at")


def _about(
    pk: int,
    number: int,
    executor: int | None,
    platform: str,
    submitted: datetime,
    started: datetime,
) -> tuple[int, int, str, float, float]:
    """What `Begun` and `Ended` begin with."""
    since = submitted if number == 1 else started
    return pk, executor or 0, platform, since.timestamp(), started.timestamp()


def _begun() -> list[Begun]:
    attempts = Attempt.objects.open().filter(job__state=State.RUNNING).order_by("id")
    rows = attempts.values_list(*_ABOUT, "job_id", "job__phase")
    return [
        Begun(*_about(*about), job, phase != Phase.COMPILING, phase == Phase.EXECUTING)
        for *about, job, phase in rows
    ]


def _counts() -> dict[str, int]:
    """How many wait, by platform."""
    queued = Job.objects.filter(state=State.QUEUED).order_by()
    return dict(queued.values_list("platform").annotate(Count("pk")))


def _first_of(platform: str) -> list[tuple[int, int, int, str, bool]]:
    """Id, user, turn, language and plainness of those that wait for it."""
    rows = Job.objects.queued(platform).values_list("pk", "user_id", "turn", "language", "is_plain")
    return list(rows[:_MOST_QUEUED])


def _arrivals(now: datetime, known: list[tuple[float, int]]) -> list[Arrival]:
    """What was submitted lately; `known`: when which turn was."""
    latest = Job.objects.order_by("-pk").values_list("user_id", "platform", "turn", "submitted_at")
    found = []
    for user, platform, turn, submitted_at in latest[:_RECENT]:
        at = submitted_at.timestamp()
        if (ago := now.timestamp() - at) < ARRIVALS_SECONDS:
            found.append(Arrival(ago, user, platform, turns_ago(turn, at, known)))
    return found


def _ended(now: datetime) -> list[Ended]:
    """The latest attempts with a result."""
    latest = Attempt.objects.filter(ending=Ending.FINISHED, executor__isnull=False).order_by("-pk")
    rows = latest.values_list(*_ABOUT, "ended_at", "compile_seconds", "execute_seconds")
    return [
        Ended(*_about(*about), ended.timestamp(), _seconds(compiled), _seconds(ran))
        for *about, ended, compiled, ran in rows[:_RECENT]
        if ended > now - _RECENTLY
    ]


def _seconds(reported: float | None) -> float:
    """A duration, as far as it can be one."""
    return min(reported, _DAY_SECONDS) if reported and reported > 0 else 0.0


def _compile_workers(executors: set[int]) -> dict[int, int]:
    """As far as they report it."""
    told = Executor.objects.filter(pk__in=executors).values_list("pk", "about")
    counts = {key: about.get("nproc_compile") for key, about in told if isinstance(about, dict)}
    return {key: n for key, n in counts.items() if isinstance(n, int) and n > 0}


class _Kept:
    """What this process looked at last."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.until = 0.0
        self.is_looking = False


_kept = _Kept()


def of(job: Job, place: int | None) -> Outlook:
    """What is expected of the job, as the queue was up to a second ago; `place`: in the queue, if
    it is queued. Raises DatabaseError."""
    if job.is_over or job.phase == Phase.EXECUTING:
        return Outlook(None)
    return current().of(job, place)


def current() -> Snapshot:
    """The queue as it was up to a second ago. Raises DatabaseError."""
    snapshot = _kept.snapshot
    if snapshot is None or (time.monotonic() >= _kept.until and not _kept.is_looking):
        snapshot = _look()
    return snapshot


def _look() -> Snapshot:
    _kept.is_looking = True
    try:
        snapshot, seconds = in_a_thread(_timed)
    finally:
        _kept.is_looking = False
    kept = min(max(_KEPT_SECONDS, _TIMES_KEPT * seconds), _LONGEST_KEPT_SECONDS)
    _kept.until = time.monotonic() + (kept if greenlets.are_used() else 0.0)
    _kept.snapshot = snapshot
    return snapshot


def _timed() -> tuple[Snapshot, float]:
    """A new one, and what it cost in seconds of a core."""
    began = time.thread_time()
    return Snapshot(), time.thread_time() - began


def start() -> greenlets.Running:
    """Looks again and again in this process, until the server stops."""
    return greenlets.spawn(_run, "outlook")


def _run() -> None:
    seen: Snapshot | None = None
    while not waiting.stopping.wait(_KEPT_SECONDS):
        if waiting.anybody():
            try:
                before, seen = seen, current()
                if before is not None and seen is not before:
                    waiting.wake(seen.changed_since(before))
            except DatabaseError as error:
                log.warning("The queue could not be looked at: %s", str(error).strip())
            except Exception:
                log.exception("The queue could not be looked at")
