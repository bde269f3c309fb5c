"""When jobs will run: the queue is served in thought, in its fair order, by the places there are.

Nothing here asks the database: `outlook` brings what is needed. Times are seconds from now.
"""

import heapq
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jobs.paces import Begun, Ended, History, Pace, Place

_WIDTH = 2.0  # standard deviations to each side
_DOUBT = 0.1  # of a time: what we do not know of hosts and programs
_CLAIM_SECONDS = 0.5  # of any start: to be claimed, to be heard of
_UNKNOWN_SECONDS = 1.0  # that a job takes of which nothing is known: the order goes on
ARRIVALS_SECONDS = 120.0  # for how long a submission counts as an arrival
_WINDOWS = (5.0, ARRIVALS_SECONDS)  # what comes in bursts, and what is usual
_MOST_OVERTAKEN = 0.75  # of the places' time


class Range(NamedTuple):
    """When a program is expected to run: in so many seconds."""

    from_seconds: int
    to_seconds: int


class Queued(NamedTuple):
    """A job that waits to be claimed."""

    job: int
    user: int
    platform: str
    turn: int


class Arrival(NamedTuple):
    """A job that was submitted lately."""

    seconds_ago: float
    user: int
    platform: str
    turns_ago: int  # how many turns before its owner had been served


class Facts(NamedTuple):
    """How the queue stands."""

    now: float  # since the epoch, as the times of attempts
    places: Sequence[Place]
    ended: Sequence[Ended]
    begun: Sequence[Begun]  # by attempt
    queue: Sequence[Queued]  # of a platform, by turn and job
    arrivals: Sequence[Arrival]
    compile_workers: Mapping[int, int]  # by executor, as far as they are known


class Start(NamedTuple):
    """What is expected of one job."""

    jobs_before: int  # that end first, on the places where it may run
    earliest: float | None = None  # None: it would be a guess
    latest: float = 0.0
    goes_behind: bool = False  # its owner is served once more before

    def as_range(self, others: "Others | None" = None, age: float = 0.0) -> Range | None:
        """`others`: who may come before it yet; `age`: seconds since this was found."""
        if self.earliest is None:
            return None
        latest = self.latest + (others.seconds_in(self.latest) if others else 0.0)
        first = max(0, math.floor(self.earliest - _CLAIM_SECONDS - age))
        return Range(first, max(first + 1, math.ceil(latest + _CLAIM_SECONDS - age)))

    def behind(self, jobs: int, seconds: float) -> "Start":
        """Of a job that has so many more before it, which take so long."""
        earliest = None if self.earliest is None else max(0.0, self.earliest + seconds)
        before = max(0, self.jobs_before + jobs)
        return Start(before, earliest, max(0.0, self.latest + seconds), self.goes_behind)


class Others(NamedTuple):
    """Users who are yet to submit and were served longer ago, as far as such came lately."""

    part: float  # of the places' time that goes to them
    work: float  # seconds of the places that went to those who came: as many may come again

    def seconds_in(self, seconds: float) -> float:
        """How much later it may be because of them."""
        part = min(self.part, _MOST_OVERTAKEN)
        return min(seconds * part / (1 - part), self.work)


class Forecast:
    """What is expected of all jobs."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        history = History(facts.now, facts.places, facts.ended, facts.begun, facts.compile_workers)
        self._paces = history.paces
        service = _Service(facts.places, self._paces)
        for begun in facts.begun:
            service.take(begun, history.seconds_in_phase(begun))
        for queued in facts.queue:
            service.add(queued)
        service.run()
        self._starts = service.starts
        self._lines = service.lines
        self._last_turn = max((one.attempt for one in (*facts.ended, *facts.begun)), default=0)

    def claimed(self, job: int) -> Start | None:
        """Of a job that an executor has claimed and does not run yet, where it is known."""
        return self._starts.get(job)

    def queued(self, job: Queued) -> Start | None:
        """Of a job that waits; None where nobody is there, or it came later than the facts."""
        return self._starts.get(job.job)

    def came_since(self, job: Queued, place: int) -> Start | None:
        """Of one that came later than the facts, `place` being its place in the queue by now. None
        where nobody is there.

        It is counted from that place, and not from the moment of the facts.
        """
        line = self._lines.get(job.platform)
        if line is None or (start := line.start_of(job)) is None:
            return None
        more = place - 1 - line.ahead_of(job)
        pace = self._paces.get(job.platform)
        serve = [p.executor for p in self._facts.places if job.platform in p.platforms]
        each = sum(map(pace.at, serve)) / len(serve) ** 2 if pace else 0.0
        return start.behind(more, more * each)

    def others(self, job: Queued, start: Start) -> Others | None:
        """Who may come before a job that waits; None: nobody."""
        serve = [place for place in self._facts.places if job.platform in place.platforms]
        turns_ago = 0 if start.goes_behind else self._last_turn - job.turn
        if not start.jobs_before or not (job.turn or start.goes_behind) or not serve:
            return None  # a place is free, or its owner was never served
        names = {name for place in serve for name in place.platforms} & self._paces.keys()
        longer = [
            (one.seconds_ago, self._paces[one.platform].at(serve[0].executor) / len(serve))
            for one in self._facts.arrivals
            if one.turns_ago > turns_ago and one.user != job.user and one.platform in names
        ]
        windows = [sum(w for ago, w in longer if ago < window) / window for window in _WINDOWS]
        return Others(max(windows), sum(work for _, work in longer))


class _Line:
    """Those who wait for one platform, by (turn, job); who was served goes behind the others."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []
        self._served: dict[int, int] = {}  # the turn of a user who was served in thought
        self._users: set[int] = set()
        self._stood: list[tuple[int, int]] = []  # turns and jobs, as they were found
        # In the order of service: turns and jobs, as they were then, and what is expected.
        self._keys: list[tuple[int, int]] = []
        self._starts: list[Start] = []
        self.last: Start | None = None  # of a job that would come last

    def add(self, job: Queued) -> None:
        heapq.heappush(self._heap, (job.turn, job.job, job.user))
        self._users.add(job.user)
        self._stood.append((job.turn, job.job))

    def head(self) -> tuple[int, int] | None:
        """Turn and id of the one that is served next."""
        while self._heap:
            turn, job, user = self._heap[0]
            if self._served.get(user, turn) <= turn:
                return turn, job
            heapq.heapreplace(self._heap, (self._served[user], job, user))
        return None

    def serve(self, start: Start, turn_after: int) -> tuple[int, Start]:
        """The one that is served next, whose owner then has that turn, starts so."""
        turn, job, user = heapq.heappop(self._heap)
        start = self.not_before(start, goes_behind=user in self._served)
        self._served[user] = turn_after
        self._keys.append((turn, job))
        self._starts.append(start)
        return job, start

    def not_before(self, start: Start, *, goes_behind: bool = False) -> Start:
        """The start, no sooner than those of the jobs that were served before."""
        before, earliest, latest, _ = start
        last = self._starts[-1] if self._starts else None
        if earliest is not None and last and last.earliest is not None:
            earliest, latest = max(earliest, last.earliest), max(latest, last.latest)
        return Start(before, earliest, latest, goes_behind)

    def ahead_of(self, job: Queued) -> int:
        """How many stood before a job that was not there yet."""
        return bisect_left(self._stood, (job.turn, job.job))

    def start_of(self, job: Queued) -> Start | None:
        """Of a job that was not there yet."""
        if job.user in self._users:
            return self.last and self.last._replace(goes_behind=True)
        place = bisect_left(self._keys, (job.turn, job.job))
        return self._starts[place] if place < len(self._keys) else self.last


class _Service:
    """The places at work."""

    def __init__(self, places: Sequence[Place], paces: Mapping[str, Pace]) -> None:
        self.starts: dict[int, Start] = {}  # by job
        self.lines: dict[str, _Line] = defaultdict(_Line)  # by platform
        self._places = places
        self._paces = paces
        self._free_at = [0.0] * len(places)
        self._has_job = [False] * len(places)
        # By executor, in order: what it has claimed and does not run yet, with its seconds.
        self._claimed: dict[int, list[tuple[Begun, float]]] = defaultdict(list)
        # By executor (0: any) and platform, the places and the jobs that have ended there.
        self._count = Counter(
            (whose, name)
            for place in places
            for name in place.platforms
            for whose in (0, place.executor)
        )
        self._ends: Counter[tuple[int, str]] = Counter()
        self._unknown: set[str] = set()  # whose places have a job of which nothing is known
        self._first: dict[str, float] = {}  # by platform, the deviation of the first end
        self._turn = 1 << 62

    def add(self, job: Queued) -> None:
        """A job that waits to be claimed."""
        self.lines[job.platform].add(job)

    def take(self, job: Begun, seconds: float) -> None:
        """A job in hand takes a place if it executes, and waits at its executor if not."""
        if not job.is_executing:
            self._claimed[job.executor].append((job, seconds))
            return
        free = [
            number
            for number, place in enumerate(self._places)
            if place.executor == job.executor
            and job.platform in place.platforms
            and not self._has_job[number]
        ]
        if free:
            number = min(free, key=lambda number: len(self._places[number].platforms))
            self._occupy(number, job, seconds)

    def _occupy(self, number: int, job: Begun, seconds: float) -> None:
        self._has_job[number] = True
        pace = self._paces.get(job.platform)
        if pace is None:
            self._unknown |= self._places[number].platforms
            return
        left, deviation = pace.execute.left_after(seconds)
        beside = pace.at(job.executor) - pace.execute.mean
        self._free_at[number] = left + max(0.0, beside)
        for name in self._places[number].platforms:
            self._first[name] = max(deviation, self._first.get(name, 0.0))

    def run(self) -> None:
        """Each place takes the next job that it can run as it becomes free."""
        waits = [(at, number) for number, at in enumerate(self._free_at)]
        heapq.heapify(waits)
        while waits:
            at, number = waits[0]
            place = self._places[number]
            if self._has_job[number]:
                for name in place.platforms:
                    self._ends[0, name] += 1
                    self._ends[place.executor, name] += 1
            free_at = self._serve(place, at)
            if free_at is None:
                heapq.heappop(waits)
            else:
                self._has_job[number] = True
                heapq.heapreplace(waits, (free_at, number))

    def _serve(self, place: Place, at: float) -> float | None:
        """Gives the place that is free at that time a job: when it is free again; None: no job."""
        platform, compiled_at = None, 0.0
        if found := self._claimed_for(place):
            job, seconds = found
            platform = job.platform
            if pace := self._paces.get(platform):
                compiled_at = 0.0 if job.is_compiled else pace.compile.left_after(seconds)[0]
            start = self._start(platform, at, compiled_at, place.executor)
            self.starts[job.job] = start
        elif platform := self._next_platform(place):
            if pace := self._paces.get(platform):
                compiled_at = pace.compile.mean
            job_id, start = self.lines[platform].serve(
                self._start(platform, at, compiled_at), self._turn
            )
            self.starts[job_id] = start
            self._turn += 1
        else:
            self._note_last(place, at)
            return None
        if platform not in self._paces:
            self._unknown |= place.platforms
            return at + _UNKNOWN_SECONDS
        return max(at, compiled_at) + self._paces[platform].at(place.executor)

    def _claimed_for(self, place: Place) -> tuple[Begun, float] | None:
        waiting = self._claimed.get(place.executor, [])
        for number, (job, _) in enumerate(waiting):
            if job.platform in place.platforms:
                return waiting.pop(number)
        return None

    def _next_platform(self, place: Place) -> str | None:
        """Of those that the place is for, the one whose next job is first in the fair order."""
        heads = [
            (head, name)
            for name in place.platforms
            if name in self.lines and (head := self.lines[name].head())
        ]
        return min(heads)[1] if heads else None

    def _note_last(self, place: Place, at: float) -> None:
        """What a job would get that came last."""
        for name in place.platforms:
            line = self.lines[name]
            if line.last is None:
                pace = self._paces.get(name)
                start = self._start(name, at, pace.compile.mean if pace else 0.0)
                line.last = line.not_before(start)

    def _start(self, platform: str, at: float, compiled_at: float, executor: int = 0) -> Start:
        """Of a job whose place is free at that time; `executor`: of one that it has claimed."""
        before = self._ends[executor, platform]
        pace = self._paces.get(platform)
        if pace is None or platform in self._unknown:
            return Start(before)
        seconds = max(at, compiled_at)
        variance = (_DOUBT * seconds) ** 2
        if compiled_at:
            variance += pace.compile.deviation**2
        if before:
            each = pace.execute.deviation
            first = max(each / 2, self._first.get(platform, 0.0))
            share = self._count[executor, platform]  # so many work it off
            variance += ((before - 1) * each**2 + first**2) / share**2 + (at * pace.doubt) ** 2
        doubt = _WIDTH * math.sqrt(variance)
        return Start(before, seconds - doubt, seconds + doubt)


def turns(attempts: Iterable[Begun | Ended]) -> list[tuple[float, int]]:
    """When each turn was, oldest first; a turn is an attempt's id."""
    return sorted((one.started_at, one.attempt) for one in attempts)


def turns_ago(turn: int, at: float, known: list[tuple[float, int]]) -> int:
    """How many turns before that moment a turn was; -1 where that is not known."""
    before = bisect_left(known, (at, 0))
    return known[before - 1][1] - turn if before else -1
