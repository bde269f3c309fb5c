"""Row B: a thousand waiting students, each reading a stream of events; how soon each knows.

Each student has one kept-alive TLS connection and reads its own job's stream. A share of
the jobs is claimed beforehand; then emulated executors report results at a steady rate, and each
student who was served submits again, so that as many wait throughout. The second run has the
executors claim the next job after each result, as real ones do: the places in the queue move.
"""

import asyncio
import itertools
import random
import time
from typing import Any, NamedTuple

from bench.load import EmulatedExecutor, Student
from bench.measure import memory_mib, percentile
from bench.place import (
    Meter,
    Plan,
    close_all,
    executors,
    in_a_process,
    open_all,
    queue,
    say,
    students,
)
from bench.report import Table, at_most, none

WAITERS = 1000
FINISHED_A_SECOND = 20
REPORTERS = 8  # connections that report results
SETTLE_SECONDS = 8  # until a thousand first answers are out and all are held


class Class:
    """The students, and what became of their waits."""

    def __init__(self, clients: list[Student], reporters: list[EmulatedExecutor]) -> None:
        self.clients = clients
        self.reporters = reporters
        self.sent: dict[int, float] = {}  # job: just before its result was sent
        self.acknowledged: dict[int, float] = {}  # job: when that was answered
        self.told: dict[int, float] = {}  # job: when its student had it finished
        self.errors: list[BaseException] = []

    async def gather(self, running: int) -> list[dict[str, Any]]:
        """Everyone has submitted and `running` jobs are claimed; those claims."""
        await open_all([*self.clients, *self.reporters])
        for start in range(0, len(self.clients), 10):
            await asyncio.gather(*(c.submit() for c in self.clients[start : start + 10]))
        claimed = [await self.reporters[0].claim() for _ in range(running)]
        return [one for one in claimed if one]

    async def wait(self, student: Student) -> None:
        """One student, for ever: waits for its job, notes when it has it, submits again."""
        try:
            while True:
                answer = await student.wait_until_over()
                self.told[student.job["id"]] = answer.at
                await student.submit()
        except (OSError, RuntimeError, ValueError) as error:
            self.errors.append(error)

    async def report(self, reporter: EmulatedExecutor, claimed: dict[str, Any]) -> None:
        job = claimed["job"]["id"]
        self.sent[job] = time.perf_counter()
        answer = await reporter.finish(claimed)
        self.acknowledged[job] = answer.at

    async def report_steadily(
        self, claimed: list[dict[str, Any]], rate: float, claim_again: bool
    ) -> None:
        """`rate` results a second, whether or not the ones before are through."""
        free: asyncio.Queue[EmulatedExecutor] = asyncio.Queue()
        for reporter in self.reporters:
            free.put_nowait(reporter)

        async def one(due: float, what: dict[str, Any]) -> None:
            await asyncio.sleep(due - time.perf_counter())
            reporter = await free.get()
            try:
                await self.report(reporter, what)
                if claim_again:
                    await reporter.claim(1)
            finally:
                free.put_nowait(reporter)

        began = time.perf_counter()
        tasks = [one(began + place / rate, what) for place, what in enumerate(claimed)]
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                self.errors.append(error)

    async def until_told(self, seconds: float) -> None:
        """Returns when all whose job has finished know, or after so long."""
        until = time.perf_counter() + seconds
        while set(self.sent) - set(self.told) and time.perf_counter() < until:
            await asyncio.sleep(0.05)

    def delays(self, since: dict[int, float]) -> list[float]:
        """Milliseconds from then until the student knew; for ever for one who never did."""
        return [1000 * (self.told.get(job, float("inf")) - at) for job, at in since.items()]


class Held(NamedTuple):
    """What the server used in the steady part of a run; memory in MiB."""

    meter: Meter
    pss: float
    rss: float


async def hold(group: Class, plan: Plan, pid: int, claim_again: bool) -> Held:
    """One run: everyone waits, results are reported for some seconds, all hang up."""
    seconds = plan.size(15, 2)
    claimed = await group.gather(FINISHED_A_SECOND * seconds)
    random.Random(1).shuffle(claimed)
    waits = [asyncio.create_task(group.wait(student)) for student in group.clients]
    await asyncio.sleep(SETTLE_SECONDS)
    meter = Meter(pid).start()
    await group.report_steadily(claimed, FINISHED_A_SECOND, claim_again)
    meter.stop()
    await group.until_told(30)
    memory = memory_mib(pid), memory_mib(pid, "Rss")
    for task in waits:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    close_all([*group.clients, *group.reporters])
    return Held(meter, *memory)


def measure(plan: Plan, table: Table) -> None:
    waiters = plan.size(WAITERS, 60)
    with queue(TELERUN_LEASE_SECONDS=3600) as world:
        users = world.users(waiters)
        host = world.executor("host")
        world.start_server()
        for turn, claims in itertools.product(range(plan.rounds), (False, True)):
            wake = in_a_process(world, "bench.wake", waiters)
            group = Class(students(world, users), executors(world, host, REPORTERS))
            run = asyncio.run(hold(group, plan, world.server.pid, claims))
            world.manage("telerun_db", "reset-submissions")
            told = group.delays(group.sent)
            words = ", with as many claims" if claims else ""
            say(f"  round {turn + 1}{words}: told after p50 {percentile(told, 50):.0f} ms, "
                f"p99 {percentile(told, 99):.0f} ms")  # fmt: skip
            note(table, group, run, wake, words)


def note(table: Table, group: Class, run: Held, wake: dict[str, float], words: str) -> None:
    """One run's lines. No goals were set for the run with claims."""
    goals = {50: None, 99: None} if words else {50: at_most(4, "ms"), 99: at_most(10, "ms")}
    sent, acknowledged = group.delays(group.sent), group.delays(group.acknowledged)
    for percent, goal in goals.items():
        table.add(
            "B", f"told, after the result was sent{words}: p{percent}",
            percentile(sent, percent), "ms", goal,
            floor=wake[f"p{percent}"], than="waking one of as many threads",
        )  # fmt: skip
    for percent in goals:
        what = f"told, after the executor had its 200{words}: p{percent}"
        table.add("B", what, percentile(acknowledged, percent), "ms")
    table.add("B", f"errors and answers of 503{words}", troubles(group), "", none())
    limit = None if words else at_most(150, "MiB")
    waiting = len(group.clients)
    table.add("B", f"server's memory, {waiting} waiting (PSS){words}", run.pss, "MiB", limit)
    table.add("B", f"server's memory as a sum of RSS{words}", run.rss, "MiB")
    for what, cpu in (("server's", run.meter.cpu), ("load generator's", run.meter.own_cpu)):
        table.add("B", f"{what} CPU, of one core{words}", 100 * cpu / run.meter.seconds, "%")


def troubles(group: Class) -> int:
    for error in group.errors[:3]:
        say(f"  error: {error!r}")
    refused = sum(c.connection.refused for c in [*group.clients, *group.reporters])
    return len(group.errors) + refused + len(set(group.sent) - set(group.told))
