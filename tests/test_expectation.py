"""When jobs are expected to run: the fair order, the places, what is known, and what is not.

The lessons are simulated (tests/support/lesson.py), with fixed seeds: nothing here is timed.
"""

import random
from collections.abc import Callable, Sequence

import pytest

from jobs.expectation import Arrival, Facts, Forecast, Queued, Range, Start
from jobs.paces import Begun, Ended, History, Place, sample
from tests.support.lesson import Host, Lesson, held

pytestmark = pytest.mark.once

CUDA = frozenset({"cuda"})
HOPPER = frozenset({"cuda", "h100"})
ONE = (Place(1, CUDA),)
NOW = 1_000_000.0


def ended(
    count: int, execute: float = 10.0, compiled: float = 2.0, executor: int = 1,
    platform: str = "cuda",
) -> list[Ended]:  # fmt: skip
    """So many, an hour apart: no host was ever full."""
    return [
        Ended(n, executor, platform, start := NOW - 3600 * (count - n + 1), start,
              start + compiled + execute, compiled, execute)
        for n in range(count)
    ]  # fmt: skip


def queue(*users: int, platform: str = "cuda", turn: int = 0, first: int = 1) -> list[Queued]:
    return [Queued(first + n, user, platform, turn) for n, user in enumerate(users)]


def forecast(
    waiting: list[Queued],
    places: Sequence[Place] = ONE,
    history: list[Ended] | None = None,
    begun: tuple[Begun, ...] = (),
    arrivals: tuple[Arrival, ...] = (),
    workers: dict[int, int] | None = None,
) -> Forecast:
    known = ended(20) if history is None else history
    return Forecast(Facts(NOW, places, known, begun, waiting, arrivals, workers or {}))


def starts(waiting: list[Queued], **more: object) -> list[Start]:
    found = forecast(waiting, **more)
    return [start for job in waiting if (start := found.queued(job))]


def running(
    job: int, seconds: float = 3.0, *, executing: bool = True, executor: int = 1,
    platform: str = "cuda", compiled: bool = True,
) -> Begun:  # fmt: skip
    since = NOW - seconds
    return Begun(100 + job, executor, platform, since, since, job, compiled, executing)


def test_who_waits_behind_others_waits_longer() -> None:
    found = starts(queue(*range(1, 40)))
    ranges = [start.as_range() for start in found]
    assert [start.jobs_before for start in found] == list(range(39))
    assert ranges == sorted(ranges)
    assert [r.to_seconds for r in ranges] == sorted(r.to_seconds for r in ranges)
    assert all(r.from_seconds < r.to_seconds for r in ranges)
    # Ten seconds each: of the 20th, 19 are run before.
    assert ranges[19].from_seconds < 190 < ranges[19].to_seconds
    assert ranges[0].to_seconds < 10  # a place is free: it is compiled, and runs


def test_a_host_with_more_gpus_serves_sooner() -> None:
    one, four = (starts(queue(*range(1, 21)), places=[Place(1, CUDA)] * n)[19] for n in (1, 4))
    assert (one.jobs_before, four.jobs_before) == (19, 16)
    assert four.as_range().to_seconds < one.as_range().from_seconds


def test_of_a_users_jobs_only_the_next_is_before_others() -> None:
    """One has three jobs first; the next two users come before the second and third of these."""
    found = forecast(queue(7, 7, 7, 8, 9))
    order = sorted(range(1, 6), key=lambda job: found._starts[job].jobs_before)
    assert order == [1, 4, 5, 2, 3]
    assert [found._starts[job].goes_behind for job in order] == [False] * 3 + [True] * 2


def test_turns_decide_and_not_the_order_of_submission() -> None:
    late, early = Queued(1, 1, "cuda", 50), Queued(2, 2, "cuda", 3)
    assert [s.jobs_before for s in starts([late, early])] == [1, 0]


def test_what_runs_and_what_was_claimed_comes_before() -> None:
    """On one GPU a job runs and another is compiled: two end before the next (S13)."""
    found = forecast(queue(1), begun=(running(91, 5.0), running(92, 4.0, executing=False)))
    assert (found.claimed(92).jobs_before, found.queued(queue(1)[0]).jobs_before) == (1, 2)
    waits, comes = found.claimed(92).as_range(), found.queued(queue(1)[0]).as_range()
    assert waits.to_seconds <= comes.to_seconds
    assert comes.from_seconds < 17 < comes.to_seconds  # 7 seconds are left, and then ten
    assert found.claimed(91) is None  # it runs


def test_a_program_that_runs_for_longer_than_any_is_not_about_to_end() -> None:
    soon, late = (
        starts(queue(1), begun=(running(91, seconds),))[0].as_range() for seconds in (12.0, 120.0)
    )
    assert late.to_seconds > 2 * soon.to_seconds


def test_of_eight_gpus_the_first_that_is_free_counts() -> None:
    eight = [Place(1, CUDA)] * 8
    busy = tuple(running(90 + n, 2.0 + n) for n in range(7))
    assert starts(queue(1), places=eight, begun=busy)[0].jobs_before == 0
    all_busy = (*busy, running(97, 2.0))
    assert starts(queue(1), places=eight, begun=all_busy)[0].jobs_before == 1


def test_what_another_host_has_claimed_is_in_nobodys_way() -> None:
    places = [Place(1, CUDA), Place(2, CUDA)]
    begun = tuple(running(90 + n, executing=n == 0, executor=1) for n in range(4))
    assert starts(queue(5), places=places, begun=begun)[0].jobs_before == 0


def test_jobs_for_a_kind_of_gpu_take_the_places_of_those_for_any() -> None:
    kinds = queue(1, 2, 3, platform="h100")
    wide = queue(9, first=10)
    history = ended(20) + ended(20, platform="h100")
    shared = forecast([*kinds, *wide], [Place(1, HOPPER)], history).queued(wide[0])
    apart = forecast([*kinds, *wide], [Place(1, CUDA), Place(2, frozenset({"h100"}))], history)
    assert (shared.jobs_before, apart.queued(wide[0]).jobs_before) == (3, 0)


@pytest.mark.parametrize("history", [[], ended(20, platform="h100")])
def test_of_a_platform_of_which_nothing_is_known_only_the_order_is_told(
    history: list[Ended],
) -> None:
    found = starts(queue(1, 2, 3), history=history)
    assert [start.jobs_before for start in found] == [0, 1, 2]
    assert [start.as_range() for start in found] == [None] * 3


def test_behind_a_job_of_which_nothing_is_known_nothing_is_expected() -> None:
    strange = Queued(1, 1, "h100", 0)
    known = Queued(2, 2, "cuda", 0)
    found = forecast([strange, known], [Place(1, HOPPER)])
    assert found.queued(known) == Start(1)
    runs = running(9, platform="h100")
    assert forecast([known], [Place(1, HOPPER)], begun=(runs,)).queued(known) == Start(1)


def test_where_nobody_is_there_nothing_is_expected() -> None:
    assert starts(queue(1, 2), places=[]) == []
    assert starts(queue(1), places=[Place(1, frozenset({"cpu"}))]) == []


def test_little_that_is_known_is_told_as_a_wide_range() -> None:
    narrow, wide = (
        starts(queue(*range(1, 11)), history=ended(count))[9].as_range() for count in (100, 1)
    )
    assert wide.from_seconds < 10
    assert wide.to_seconds - wide.from_seconds > 4 * (narrow.to_seconds - narrow.from_seconds)


def test_a_job_that_came_since_has_the_place_of_its_turn() -> None:
    found = forecast([Queued(n, n, "cuda", 10 * n) for n in range(1, 6)])
    assert found.queued(Queued(9, 9, "cuda", 25)) is None
    assert found.came_since(Queued(9, 9, "cuda", 25), 3).jobs_before == 2
    assert found.came_since(Queued(9, 9, "cuda", 0), 1).jobs_before == 0
    assert found.came_since(Queued(9, 9, "cuda", 99), 6).jobs_before == 5
    second = found.came_since(Queued(9, 1, "cuda", 11), 2)  # its owner has a job there already
    assert second.goes_behind
    assert second.jobs_before >= 5


def test_those_who_came_before_it_meanwhile_are_counted() -> None:
    """Ten seconds each on two GPUs: four more before it are twenty seconds more."""
    found = forecast(queue(*range(1, 9)), [Place(1, CUDA)] * 2)
    last, later = (found.came_since(Queued(99, 99, "cuda", 0), place) for place in (9, 13))
    assert later.jobs_before == last.jobs_before + 4
    assert later.latest == pytest.approx(last.latest + 20)
    fewer = found.came_since(Queued(99, 99, "cuda", 0), 1)  # the others were served meanwhile
    assert (fewer.jobs_before, fewer.as_range()) == (0, Range(0, fewer.as_range().to_seconds))


def test_who_was_served_longer_ago_may_come_before() -> None:
    """Every five seconds somebody came who had not been served for a hundred turns."""
    came = tuple(Arrival(5.0 * n, 50 + n, "cuda", 100) for n in range(24))
    waiting = queue(*range(1, 11), turn=18)  # the last turn was the 19th
    found = forecast(waiting, [Place(1, CUDA)] * 4, arrivals=came)
    job = waiting[9]
    start = found.queued(job)
    others = found.others(job, start)
    assert others.part == pytest.approx(0.5)  # two jobs of ten seconds on four GPUs, a five seconds
    assert start.as_range(others).to_seconds > start.as_range().to_seconds
    assert start.as_range(others).from_seconds == start.as_range().from_seconds
    assert found.others(job._replace(turn=0), start) is None  # never served: nobody is before
    more_recent = tuple(one._replace(turns_ago=0) for one in came)
    assert forecast(waiting, arrivals=more_recent).others(job, start).part == 0


def test_the_owners_own_jobs_do_not_come_before() -> None:
    came = (Arrival(1.0, 10, "cuda", 100),)
    waiting = queue(*range(1, 11), turn=18)
    found = forecast(waiting, arrivals=came)
    assert found.others(waiting[9], found.queued(waiting[9])).part == 0


def test_a_range_is_whole_seconds_and_counts_down() -> None:
    start = Start(3, 9.7, 20.2)
    assert start.as_range() == Range(9, 21)
    assert start.as_range(age=4.0) == Range(5, 17)
    assert start.as_range(age=40.0) == Range(0, 1)


# --- How long jobs take ------------------------------------------------------------------


def cycle(attempts: list[Ended], places: int = 1, workers: int = 1) -> float:
    """From one job to the next at a place of the host."""
    history = History(NOW, [Place(1, CUDA)] * places, attempts, [], {1: workers})
    return history.paces["cuda"].at(1)


@pytest.mark.parametrize("claimed", [-13.0, 0.5])
def test_what_a_host_needs_between_jobs_is_measured_while_there_are_some(claimed: float) -> None:
    """Programs run 10 s, and 3 s pass between them, whether the next was claimed ahead or not."""
    attempts = [
        Ended(n, 1, "cuda", NOW, NOW + 13 * (n - 1) + claimed, NOW + 13 * n, 2.0, 10.0)
        for n in range(1, 20)
    ]
    assert cycle(attempts) == pytest.approx(13)


def test_while_there_were_none_nothing_is_measured() -> None:
    """Each came an hour after the one before; or the host was away for that hour."""
    came_late = ended(20)
    away = [one._replace(submitted_at=NOW - 90_000) for one in came_late]
    assert cycle(came_late) == cycle(away) == pytest.approx(10)


def test_what_one_job_took_besides_counts_where_the_host_was_never_full() -> None:
    attempts = [one._replace(ended_at=one.ended_at + 1.5) for one in ended(10)]
    assert cycle(attempts) == pytest.approx(11.5)


def test_where_compiling_takes_longest_it_is_the_compile_workers_that_count() -> None:
    quick = ended(10, execute=0.5, compiled=8.0)
    assert cycle(quick, places=4, workers=1) == pytest.approx(32)  # a GPU gets one job of four
    assert cycle(quick, places=4, workers=4) == pytest.approx(8)


def test_programs_that_run_still_are_among_what_is_known() -> None:
    """Of ten, the nine short ones have ended: the long one must not be forgotten."""
    short = [
        Ended(n, 1, "cuda", NOW - 50 + n, NOW - 50 + n, NOW - 48.5 + n, 1.0, 0.5) for n in range(9)
    ]
    long = [running(9, 600.0)]
    history = History(NOW, [Place(1, CUDA)] * 2, short, long, {})
    assert history.paces["cuda"].execute.mean > 5


def test_a_sample() -> None:
    assert sample([]).left_after(3.0) == (1.5, 1.5)
    mixed = sample([60.0, 1.0, 1.0, 2.0])
    assert (mixed.values, mixed.mean) == ((1.0, 1.0, 2.0, 60.0), 16.0)
    assert mixed.left_after(2.0)[0] == 58.0  # it is one of the long ones
    assert mixed.left_after(70.0) == (35.0, 35.0)


# --- Lessons -----------------------------------------------------------------------------

Draw = Callable[[random.Random], tuple[float, float]]
LABS: dict[str, Draw] = {
    "alike": lambda chance: (0.2, 0.2),
    "mixed": lambda chance: (chance.uniform(1, 3), chance.choice([0.3, 0.5, 1, 2, 5, 20])),
    "any": lambda chance: (2.0, chance.expovariate(1 / 5)),
    "some hang": lambda chance: (2.0, 60 if chance.random() < 0.1 else chance.uniform(0.2, 2)),
}


def rush(lab: str, hosts: list[Host], users: int, within: float, seed: int, known: int) -> Lesson:
    """Everyone submits within so many seconds, every other user twice."""
    chance = random.Random(seed)
    lesson = Lesson(hosts, lambda user: LABS[lab](chance))
    lesson.remember(known)
    for user in range(users):
        for _ in range(1 + (user % 2 == 0)):
            lesson.at(chance.uniform(0, within), lambda user=user: lesson.submit(user))
    lesson.run()
    return lesson


def work(lab: str, hosts: list[Host], users: int, pause: float, seed: int) -> Lesson:
    """Everyone submits again and again, for a while; nothing is known at first."""
    chance = random.Random(seed)
    lesson = Lesson(hosts, lambda user: LABS[lab](chance))

    def again(user: int) -> None:
        if lesson.now < 600:
            lesson.submit(user)
            lesson.at(lesson.now + chance.expovariate(1 / pause), lambda: again(user))

    for user in range(users):
        lesson.at(chance.uniform(0, pause), lambda user=user: again(user))
    lesson.run()
    return lesson


def four() -> list[Host]:
    return [Host(number, CUDA, gpus=1) for number in range(1, 5)]


def big() -> list[Host]:
    return [Host(1, CUDA, gpus=8, compilers=8)]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("lab", "hosts", "known", "share"),
    [("alike", four, 0, 0.9), ("mixed", four, 200, 0.9), ("any", big, 200, 0.9),
     ("some hang", big, 200, 0.9)],
)  # fmt: skip
def test_in_a_rush_most_begin_when_they_were_told(
    lab: str, hosts: Callable[[], list[Host]], known: int, share: float, seed: int
) -> None:
    lesson = rush(lab, hosts(), 120, 10.0, seed, known)
    within, off = held(lesson.told)
    waited = sorted(one.begun_at - one.submitted_at for one in lesson.told)
    assert within >= share, (within, off)
    assert off <= max(0.5, 0.5 * waited[len(waited) // 2])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("lab", "hosts", "users", "pause"),
    [("mixed", four, 20, 30.0), ("some hang", four, 20, 60.0), ("any", big, 30, 25.0)],
)
def test_in_ten_minutes_of_work_most_begin_when_they_were_told(
    lab: str, hosts: Callable[[], list[Host]], users: int, pause: float, seed: int
) -> None:
    lesson = work(lab, hosts(), users, pause, seed)
    within, _ = held(lesson.told)
    assert within >= 0.85
    assert sum(one.told is not None for one in lesson.told) > 0.9 * len(lesson.told)


def test_what_is_known_of_the_fair_order_makes_the_difference() -> None:
    """In the same lesson, places counted one after the other would be wrong for far more."""
    lesson = rush("alike", four(), 120, 10.0, 1, 0)
    seconds_a_job = 0.3 / 4
    told = [one for one in lesson.told if one.told is not None]
    plain = [abs(one.ahead * seconds_a_job - (one.begun_at - one.submitted_at)) for one in told]
    fair = [abs(sum(one.told) / 2 - (one.begun_at - one.submitted_at)) for one in told]
    assert sum(fair) < 0.7 * sum(plain)
