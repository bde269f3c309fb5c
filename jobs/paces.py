"""How long jobs take, from those that ended lately. Times are in seconds, moments as of the epoch.

Nothing here asks the database: `outlook` brings what is needed.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from accounts.models import CPU

_GAPS = 100  # of a host, the latest that count
_FEWEST_GAPS = 3  # of each of its places: the first to end are the short ones
_IDLE_SECONDS = 10.0  # after so long without a job a host was away, whatever waited
_ENOUGH = 10  # programs of a host, to be taken for its own pace


class Place(NamedTuple):
    """What runs one program at a time: a GPU, or a slot of a CPU."""

    executor: int
    platforms: frozenset[str]


class Ended(NamedTuple):
    """An attempt that had a result."""

    attempt: int
    executor: int
    platform: str
    submitted_at: float  # its job; of one that is run again, when it was claimed
    started_at: float  # when it was claimed
    ended_at: float
    compile: float
    execute: float


class Begun(NamedTuple):
    """An attempt that goes on."""

    attempt: int
    executor: int
    platform: str
    submitted_at: float  # its job
    started_at: float  # when it was claimed
    job: int
    is_compiled: bool
    is_executing: bool


class Sample(NamedTuple):
    """Durations that were observed, shortest first."""

    values: tuple[float, ...] = ()
    mean: float = 0.0
    deviation: float = 0.0

    def left_after(self, seconds: float) -> tuple[float, float]:
        """Of one that has lasted so long already, how much is left, and its deviation."""
        longer = self.values[bisect_right(self.values, seconds) :]
        if not longer:  # longer than any of them
            return seconds / 2, seconds / 2
        mean, deviation = _moments([value - seconds for value in longer])
        return mean, max(deviation, mean / 4)


def sample(values: Iterable[float]) -> Sample:
    """What was observed. The mean, not the median, is what many jobs take one after the other; the
    course's limits bound how far a few long ones draw it."""
    ordered = sorted(values)
    return Sample(tuple(ordered), *_moments(ordered))


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; 0 of nothing."""
    if not values:
        return 0.0, 0.0
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


class Pace(NamedTuple):
    """How long jobs of a platform take."""

    compile: Sample
    execute: Sample
    cycles: Mapping[int, float]  # by executor: from one job to the next at one of its places

    def at(self, executor: int) -> float:
        """For how long a job keeps a place of the executor from the next."""
        return self.cycles.get(executor, self.execute.mean)

    @property
    def doubt(self) -> float:
        """How far the mean may be off, as a part of it: the more, the fewer were observed."""
        count = len(self.execute.values)
        spread = self.execute.deviation / self.execute.mean if self.execute.mean else 0.0
        return max(spread, 4 / count) / math.sqrt(count)


class History:
    """What ended lately, and what goes on."""

    def __init__(
        self,
        now: float,
        places: Sequence[Place],
        ended: Sequence[Ended],
        begun: Sequence[Begun],
        compile_workers: Mapping[int, int],
    ) -> None:
        """`compile_workers`: by executor, as far as they are known."""
        self._now = now
        self._begun = begun
        self._workers = compile_workers
        self._ended: dict[str, list[Ended]] = defaultdict(list)
        for one in ended:
            self._ended[one.platform].append(one)
        count = Counter(_host_of(p.executor, next(iter(p.platforms), "")) for p in places)
        self._hosts = {
            key: _Host(
                number,
                [e for e in ended if _host_of(e.executor, e.platform) == key],
                [b for b in begun if _host_of(b.executor, b.platform) == key],
            )
            for key, number in count.items()
        }

    @cached_property
    def paces(self) -> dict[str, Pace]:
        """By platform; those alone of which anything is known."""
        return {name: self._pace(name, ended) for name, ended in self._ended.items()}

    def _pace(self, platform: str, ended: list[Ended]) -> Pace:
        compiles = sample(one.compile for one in ended)
        runs = self._runs(platform, ended, compiles.mean)
        cycles = {}
        for (executor, is_cpu), host in self._hosts.items():
            if is_cpu == (platform == CPU):
                own = [one.execute for one in ended if one.executor == executor]
                mean = sample(own).mean if len(own) >= _ENOUGH else runs.mean
                workers = self._workers.get(executor, host.places)
                cycles[executor] = host.cycle(mean, compiles.mean * host.places / workers)
        return Pace(compiles, runs, cycles)

    def _runs(self, platform: str, ended: list[Ended], compiles: float) -> Sample:
        """How long programs run. Those that run now count with what they are likely to take in
        all: the long ones are among them, while short ones have ended."""
        durations = [one.execute for one in ended]
        known = sample(durations)
        for one in self._begun:
            if one.is_executing and one.platform == platform:
                so_far = self._executed(one, compiles)
                durations.append(so_far + known.left_after(so_far)[0])
        return sample(durations)

    def seconds_in_phase(self, begun: Begun) -> float:
        """Since an attempt was claimed; of one that executes, since it began to, about."""
        pace = self.paces.get(begun.platform)
        if begun.is_executing:
            return self._executed(begun, pace.compile.mean if pace else 0.0)
        return max(0.0, self._now - begun.started_at)

    def _executed(self, begun: Begun, compiles: float) -> float:
        """It began when it was compiled, and no sooner than its place was free."""
        since = begun.started_at + compiles
        if host := self._hosts.get(_host_of(begun.executor, begun.platform)):
            since = max(since, host.place_free_at(begun))
        return max(0.0, self._now - since)


def _host_of(executor: int, platform: str) -> tuple[int, bool]:
    """A host's GPUs, or its CPU slots: what runs beside each other."""
    return executor, platform == CPU


class _Host:
    """An executor's places of a kind, and what ended and goes on there."""

    def __init__(self, places: int, ended: list[Ended], begun: list[Begun]) -> None:
        self.places = places
        self._ended = sorted(ended, key=lambda one: one.ended_at)
        self._executing = sorted(one.started_at for one in begun if one.is_executing)
        self._ends = [one.ended_at for one in self._ended]
        self._starts = sorted(one.started_at for one in (*ended, *begun))
        self._submitted = sorted(one.submitted_at for one in (*ended, *begun))
        self._gaps = self._while_busy()
        # Of those that found a place free: what they took beside compiling and running.
        beside = sorted(
            max(0.0, one.ended_at - one.started_at - one.compile - one.execute)
            for one in ended
            if self._in_hand(one.started_at) <= places
        )
        self._beside = beside[len(beside) // 2] if beside else 0.0

    def _while_busy(self) -> list[float]:
        """From one end to the next, times the places, while there were jobs for all of them: how
        much longer that was than the program ran."""
        found = []
        for before, one in zip(self._ended, self._ended[1:], strict=False):
            # What it ran since and was there already. Some may not have been claimed yet: to be
            # given the next one takes time, too.
            there = bisect_right(self._submitted, before.ended_at)
            there -= bisect_right(self._ends, before.ended_at)
            at_once = one.started_at - before.ended_at < _IDLE_SECONDS
            if there >= self.places and at_once:
                found.append((one.ended_at - before.ended_at) * self.places - one.execute)
        return found[-_GAPS:]

    def _in_hand(self, at: float) -> int:
        """How many were claimed and had not ended, just after that moment."""
        return bisect_right(self._starts, at) - bisect_right(self._ends, at)

    def cycle(self, runs: float, compiles: float) -> float:
        """Seconds from one job to the next at one place.

        Measured, where there were jobs for all of its places lately; else made from what its jobs
        take. `runs`: a program; `compiles`: a place's share of the compile workers' time.
        """
        if len(self._gaps) >= _FEWEST_GAPS * self.places:
            mean, deviation = _moments(self._gaps)  # of many GPUs' it is mostly chance
            return runs + max(0.0, mean - deviation / math.sqrt(len(self._gaps)))
        return max(runs + self._beside, compiles)

    def place_free_at(self, begun: Begun) -> float:
        """When the place was free that an executing attempt has: the one that was claimed last
        has the place that was free last. 0: not known."""
        later = len(self._executing) - bisect_right(self._executing, begun.started_at)
        return self._ends[-1 - later] if later < len(self._ends) else 0.0
