"""A lesson in thought: hosts that compile ahead and run, users who submit, the fair order.

It is written without a line of what it tests (jobs/expectation.py): each claim, each end of a
compiler and each end of a program is an event. Times are seconds since the beginning.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jobs.expectation import (
    Arrival,
    Facts,
    Forecast,
    Queued,
    Range,
    Start,
    turns,
    turns_ago,
)
from jobs.paces import Begun, Ended, Place

HISTORY = 200


@dataclass
class Program:
    """A job, and what becomes of it."""

    id: int
    user: int
    platform: str
    turn: int
    compiles: float
    runs: float
    submitted_at: float
    attempt: int = 0
    claimed_at: float = -1.0
    compiled_at: float = -1.0
    begun_at: float = -1.0
    turn_at_first: int = 0
    told: Range | None = None  # what was expected as it was submitted
    jobs_before: int | None = None
    ahead: int = 0  # how many stood before it in the queue, whoever's they were


@dataclass
class Host:
    """A GPU host: so many compile workers and GPUs, jobs claimed ahead as executor.py does."""

    id: int
    platforms: frozenset[str]
    gpus: int
    compilers: int = 1
    beside: float = 0.1  # what a GPU needs between two programs
    waiting: list[Program] = field(default_factory=list)  # claimed, and not yet running
    compiling: int = 0
    running: int = 0

    def has_room(self) -> bool:
        ahead = max(self.gpus - self.running, self.compilers)
        return self.compiling < self.compilers and len(self.waiting) < ahead


class Lesson:
    """All of it. `draw` gives (seconds to compile, seconds to run) of a user's next program."""

    def __init__(self, hosts: list[Host], draw: Callable[[int], tuple[float, float]]) -> None:
        self.hosts = hosts
        self.draw = draw
        self.now = 0.0
        self.queue: list[Program] = []
        self.over: list[tuple[float, int, Program]] = []  # when, at which host
        self.turns: dict[tuple[int, str], int] = {}
        self.begun: dict[int, list[Program]] = {host.id: [] for host in hosts}
        self.told: list[Program] = []  # of whom something was expected, in order
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count(1)
        self._attempts = itertools.count(1)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), act))

    def remember(self, count: int) -> None:
        """So many programs ran before it began, one after the other on each host."""
        ends = {host.id: -100_000.0 for host in self.hosts}
        for host, _ in zip(itertools.cycle(self.hosts), range(count)):
            compiles, runs = self.draw(0)
            claimed = ends[host.id]
            one = Program(0, 0, min(host.platforms), 0, compiles, runs, claimed)
            one.attempt, one.claimed_at = next(self._attempts), claimed
            ends[host.id] = claimed + compiles + runs + host.beside
            self.over.append((ends[host.id], host.id, one))

    def run(self) -> None:
        """Until nothing is left to do."""
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()

    def submit(self, user: int, platform: str = "cuda") -> None:
        """A user's next program, now; what is expected of it is noted."""
        compiles, runs = self.draw(user)
        turn = self.turns.get((user, platform), 0)
        program = Program(next(self._number), user, platform, turn, compiles, runs, self.now)
        program.turn_at_first = turn
        program.ahead = sum((one.turn, one.id) < (turn, program.id) for one in self.queue)
        self.queue.append(program)
        start, program.told = self.expected(program)
        program.jobs_before = start and start.jobs_before
        self.told.append(program)
        self._claim()

    def _claim(self) -> None:
        for host in self.hosts:
            while host.has_room():
                mine = [one for one in self.queue if one.platform in host.platforms]
                if not mine:
                    break
                program = min(mine, key=lambda one: (one.turn, one.id))
                self._start_to_compile(host, program)

    def _start_to_compile(self, host: Host, program: Program) -> None:
        self.queue.remove(program)
        program.attempt, program.claimed_at = next(self._attempts), self.now
        self.turns[program.user, program.platform] = program.attempt
        for other in self.queue:
            if (other.user, other.platform) == (program.user, program.platform):
                other.turn = program.attempt
        host.compiling += 1
        host.waiting.append(program)
        self.begun[host.id].append(program)

        def compiled() -> None:
            host.compiling -= 1
            program.compiled_at = self.now
            self._start_to_run(host)
            self._claim()

        self.at(self.now + program.compiles, compiled)

    def _start_to_run(self, host: Host) -> None:
        ready = [one for one in host.waiting if one.compiled_at >= 0]
        if not ready or host.running >= host.gpus:
            return
        program = ready[0]
        host.waiting.remove(program)
        host.running += 1
        program.begun_at = self.now

        def ended() -> None:
            self.begun[host.id].remove(program)
            self.over.append((self.now, host.id, program))

            def is_free() -> None:
                host.running -= 1
                self._start_to_run(host)
                self._claim()

            self.at(self.now + host.beside, is_free)

        self.at(self.now + program.runs, ended)
        self._claim()

    # --- What the queue would expect ---

    def places(self) -> list[Place]:
        return [Place(host.id, host.platforms) for host in self.hosts for _ in range(host.gpus)]

    def _in_hand(self) -> Iterator[tuple[int, Program]]:
        for host in self.hosts:
            for program in self.begun[host.id]:
                yield host.id, program

    def expected(self, program: Program) -> tuple[Start | None, Range | None]:
        """Of the program, by what the queue knows at this moment."""
        begun = [
            Begun(one.attempt, host, one.platform, one.submitted_at, one.claimed_at, one.id,
                  one.compiled_at >= 0, one.begun_at >= 0)
            for host, one in self._in_hand()
        ]  # fmt: skip
        ended = [
            Ended(
                one.attempt,
                host,
                one.platform,
                one.submitted_at,
                one.claimed_at,
                at,
                one.compiles,
                one.runs,
            )
            for at, host, one in self.over[-HISTORY:]
        ]
        known = turns([*begun, *ended])
        arrivals = [
            Arrival(self.now - one.submitted_at, one.user, one.platform,
                    turns_ago(one.turn_at_first, one.submitted_at, known))
            for one in self.told[-HISTORY:]
        ]  # fmt: skip
        queue = [Queued(one.id, one.user, one.platform, one.turn) for one in self.queue]
        workers = {host.id: host.compilers for host in self.hosts}
        begun.sort(key=lambda one: one.attempt)
        forecast = Forecast(Facts(self.now, self.places(), ended, begun, queue, arrivals, workers))
        queued = Queued(program.id, program.user, program.platform, program.turn)
        start = forecast.queued(queued)
        return start, start and start.as_range(forecast.others(queued, start))


def held(programs: list[Program]) -> tuple[float, float]:
    """Of those of whom something was expected: the share that began within the range that was
    told, and the median of how far the range's middle was off, in seconds."""
    within, off = [], []
    for program in programs:
        if (told := program.told) is not None:
            waited = program.begun_at - program.submitted_at
            within.append(told.from_seconds <= waited <= told.to_seconds)
            off.append(abs((told.from_seconds + told.to_seconds) / 2 - waited))
    assert within, "nothing was expected of anyone"
    return sum(within) / len(within), sorted(off)[len(off) // 2]
