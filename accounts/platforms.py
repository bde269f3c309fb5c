"""Which platforms there are: what executors offer, as staff have named and restricted it."""

import re
import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from accounts.gpus import Working, working
from accounts.models import CUDA, PLATFORM_LENGTH, PLATFORM_NAME, Executor, Gpu, Platform
from foundation.database.statements import Parameter, Select
from foundation.serving import greenlets

LATELY = timedelta(days=7)  # a job waits for a platform that was offered since
MAX_PLATFORMS = 64  # of one report
MAX_SLOTS = 10_000
_KEPT_SECONDS = 1.0
# An executor that names no platforms compiles everything with nvcc.
OLDER_LANGUAGES = ["cuda", "cpp"]
LANGUAGES = ("cuda", "cpp", "python")

# Few rows, read whole.
_OF_EXECUTOR = Select(Platform.objects.filter(executor=Parameter("executor")).order_by())
_PLATFORMS = Select(Platform.objects.filter(enabled=True).order_by())
_EXECUTORS = Select(Executor.objects.filter(enabled=True).order_by().only("last_seen_at"))
_GPUS = Select(
    Gpu.objects.order_by("executor", "place").only("executor", "uuid", "name", "condition", "since")
)


class Offer(NamedTuple):
    """Something that jobs may ask for, of one executor."""

    name: str
    languages: frozenset[str]
    is_older: bool  # it takes plain jobs alone
    executor: int
    reported: str  # what the executor calls it
    places: int  # jobs at once; 0 where nobody would run them now
    gpus: int  # of these places
    gone_at: datetime | None  # when there were places last, where that is known

    @property
    def is_there(self) -> bool:
        """Whether an executor that can run its jobs was heard of just now."""
        return self.places > 0

    def runs(self, language: str, is_plain: bool) -> bool:
        """Whether jobs of the kind run on it."""
        return language in self.languages and (is_plain or not self.is_older)


class Service(NamedTuple):
    """What one executor takes jobs for, at this moment."""

    names: dict[str, str]  # of jobs' platforms: what the executor calls one that is free
    languages: frozenset[str]
    is_older: bool = False  # it names no platforms: it takes plain jobs alone
    others: dict[str, str] = {}  # noqa: RUF012  (never changed)  of those that are not free

    def called(self, platform: str) -> str:
        """What the executor calls a job's platform."""
        return self.names.get(platform) or self.others.get(platform, platform)


class _Kept:
    """What a server's process read last: each student who waits asks for it."""

    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.until = 0.0


_kept = _Kept()


def offered(*, now: bool = False) -> list[Offer]:
    """What is offered, or was lately, by any executor in service.

    In a server as it was up to a second ago, or with `now` as it is.
    """
    if now or time.monotonic() >= _kept.until:
        _kept.offers = _offered()
        _kept.until = time.monotonic() + (_KEPT_SECONDS if greenlets.are_used() else 0)
    return _kept.offers


def _offered() -> list[Offer]:
    lately = timezone.now() - LATELY
    executors = {executor.pk: executor for executor in _EXECUTORS.all()}
    rows, gpus = defaultdict(list), defaultdict(list)
    for row in _PLATFORMS.all():
        rows[row.executor_id].append(row)
    for gpu in _GPUS.all():
        gpus[gpu.executor_id].append(gpu)
    found = []
    for key in rows.keys() & executors.keys():
        works = working({row.reported: row.slots for row in rows[key] if row.slots}, gpus[key])
        for row in rows[key]:
            last = row.offered_at if not row.slots else executors[key].last_seen_at
            if (last or lately) >= lately:
                found.append(_offer(row, executors[key], works.get(row.reported, Working(0, 0))))
    return found


def _offer(row: Platform, executor: Executor, works: Working) -> Offer:
    """What an executor offers at this moment."""
    places, gone_at = works.places, works.stopped_at
    if not row.slots:
        gone_at = row.offered_at
    if not executor.is_alive:
        places = 0
        gone_at = min(filter(None, [gone_at, executor.last_seen_at]), default=None)
    if gone_at is not None:  # a GPU's time is by its host's clock
        gone_at = min(gone_at, timezone.now())
    languages = frozenset(row.languages)
    gpus = works.gpus if places else 0
    about = (row.is_older, executor.pk, row.reported, places, gpus)
    return Offer(str(row), languages, *about, None if places else gone_at)


def service(executor: Executor, free: dict[str, int] | None, languages: Any) -> Service:
    """What an executor takes jobs for that has so many free slots; None: an older one."""
    rows = {row.reported: row for row in _OF_EXECUTOR.all(executor=executor.pk)}
    is_older = free is None
    wanted = [CUDA] if free is None else [name for name, slots in free.items() if slots > 0]
    names = {
        str(rows[name]) if name in rows else name: name
        for name in wanted
        if name not in rows or rows[name].enabled
    }
    knows = OLDER_LANGUAGES if is_older else languages_in(languages)
    others = {str(row): row.reported for row in rows.values() if row.slots}
    return Service(names, frozenset(knows), is_older, others)


def keep(executor_id: int, about: dict[str, Any]) -> None:
    """Makes the executor's rows what it reports; those that it no longer offers stay, for staff."""
    now = timezone.now()
    offers, is_older = offers_in(about), "offers" not in about
    languages = OLDER_LANGUAGES if is_older else languages_in(about.get("languages"))
    gone = Platform.objects.filter(executor=executor_id, slots__gt=0).exclude(reported__in=offers)
    gone.update(slots=0, offered_at=now)
    Platform.objects.bulk_create(
        [
            Platform(
                executor_id=executor_id,
                reported=name,
                slots=slots,
                languages=languages,
                is_older=is_older,
                offered_at=now,
            )
            for name, slots in offers.items()
        ],
        update_conflicts=True,
        unique_fields=("executor", "reported"),
        update_fields=("slots", "languages", "is_older", "offered_at"),
    )


def offers_in(about: dict[str, Any]) -> dict[str, int]:
    """Slots by platform, as far as a report has any; an older executor offers CUDA."""
    if "offers" not in about:
        return {CUDA: _slots(about.get("nproc_execute")) or 1}
    listed = about["offers"] if isinstance(about["offers"], dict) else {}
    offers = {name: _slots(slots) for name, slots in list(listed.items())[:MAX_PLATFORMS]}
    return {name: slots for name, slots in offers.items() if slots and is_name(name)}


def languages_in(reported: Any) -> list[str]:
    """Those that there are, as far as it is a list of them."""
    return [name for name in LANGUAGES if isinstance(reported, list) and name in reported]


def is_name(text: str) -> bool:
    """Whether it may be a platform's name."""
    return len(text) <= PLATFORM_LENGTH and re.match(PLATFORM_NAME, text) is not None


def _slots(value: Any) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return max(0, min(value, MAX_SLOTS)) if is_number else 0
