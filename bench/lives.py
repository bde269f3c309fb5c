"""Rows C and D: whole lives of jobs a second, and the server's CPU time for one.

A life: submitted, claimed, a heartbeat, a result, and its owner told by a stream of events.
As many students as executor workers, each with one kept-alive TLS connection,
begin the next life when the last is over.
"""

import asyncio
import time
from typing import Any, NamedTuple

from bench.load import EmulatedExecutor, Student
from bench.measure import median, percentile
from bench.place import (
    Meter,
    Plan,
    close_all,
    commits_a_second,
    executors,
    open_all,
    queue,
    say,
    start_bare,
    students,
)
from bench.report import Table, at_least, at_most, none

CONCURRENT = 12  # lives at a time
DURABLE_COMMITS = 4  # in a life: submitted, claimed, heartbeat, result


class Lives:
    """Students and executors that live on until told to stop."""

    def __init__(self, clients: list[Student], workers: list[EmulatedExecutor]) -> None:
        self.clients = clients
        self.workers = workers
        self.over = 0  # in the measured time
        self.ended = 0  # in all
        self.took: list[float] = []
        self._stopping = False

    async def run(self, seconds: float, meter: Meter, warm_up: float = 1.0) -> None:
        """Leaves in `meter` what the middle of it used, and in `over` the lives it saw end."""
        await open_all([*self.clients, *self.workers])
        tasks = [asyncio.create_task(self._study(c)) for c in self.clients]
        working = [asyncio.create_task(self._work(w)) for w in self.workers]
        alarm = asyncio.create_task(self._measure(seconds, meter, warm_up))
        try:
            await asyncio.gather(alarm, *tasks)
        finally:
            for task in working:
                task.cancel()
            ended = await asyncio.gather(*working, return_exceptions=True)
            close_all([*self.clients, *self.workers])
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _measure(self, seconds: float, meter: Meter, warm_up: float) -> None:
        await asyncio.sleep(warm_up)
        before, asked = self.over, self._requests()
        self.took.clear()
        meter.start()
        await asyncio.sleep(seconds)
        meter.stop()
        self.over, self.requests = self.over - before, self._requests() - asked
        self._stopping = True

    def _requests(self) -> int:
        return sum(c.connection.requests for c in [*self.clients, *self.workers])

    @property
    def refused(self) -> int:
        """Answers of 503, to be sent again: 0 unless the server cannot keep up."""
        return sum(c.connection.refused for c in [*self.clients, *self.workers])

    async def _study(self, student: Student) -> None:
        while not self._stopping:
            began = time.perf_counter()
            await student.submit()
            answer = await student.wait_until_over()
            if student.job["outcome"] != "succeeded" or not student.job["result"]:
                raise RuntimeError(f"a life ended otherwise: {student.job}")
            self.ended += 1
            if not self._stopping:
                self.over += 1
                self.took.append(answer.at - began)

    async def _work(self, worker: EmulatedExecutor) -> None:
        while True:
            if claimed := await worker.claim():
                await worker.beat(claimed)
                await worker.finish(claimed)


async def drive_bare(clients: list[Any], seconds: float, meter: Meter) -> int:
    """The bare server's requests in that time, from as many connections, asked like a queue."""
    await open_all(clients)
    done = 0

    async def ask(connection: Any) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await connection.request("POST", "/jobs", {"source": Student.SOURCE}, expect=(200,))
            done += 1

    meter.start()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(ask(c.connection) for c in clients))
    meter.stop()
    close_all(clients)
    return done


def measure(plan: Plan, table: Table) -> None:
    """Rows C and D together: they are two sides of the same run."""
    concurrent = plan.size(CONCURRENT, 3)
    with queue() as world:
        users = world.users(concurrent)
        host = world.executor("host")
        world.start_server()
        bare, port = start_bare(world)
        for turn in range(plan.rounds):
            disk = commits_a_second(world, plan.size(20, 2) / 10)
            clients = students(world, users * 2, port)
            meter = Meter(bare.pid)
            asked = asyncio.run(drive_bare(clients, plan.size(40, 5) / 10, meter))
            floor = Bare(asked / meter.seconds, meter.cpu / asked)
            run = Lives(students(world, users), executors(world, host, concurrent))
            meter = Meter(world.server.pid)
            postgres = Meter(*database_pids()).start()
            asyncio.run(run.run(plan.size(100, 10) / 10, meter))
            postgres.stop()
            note(table, run, meter, floor, disk)
            if database_pids():
                cpu = 1000 * postgres.cpu / run.ended
                table.add("D", "PostgreSQL's CPU for a life", cpu, "ms")
            say(f"  round {turn + 1}: {run.over / meter.seconds:.0f} lives/s, "
                f"bare {floor.rate:.0f} requests/s, disk {disk:.0f} commits/s")  # fmt: skip


class Bare(NamedTuple):
    """The bare server: requests a second, and seconds of its CPU time for one."""

    rate: float
    cpu: float


def note(table: Table, run: Lives, meter: Meter, bare: Bare, disk: float) -> None:
    """One round's lines."""
    rate, each = run.over / meter.seconds, run.requests / run.over
    table.add(
        "C", "whole lives", rate, "lives/s", at_least(200, "lives/s"),
        floor=bare.rate / each, than="bare server's requests ÷ requests of a life",
    )  # fmt: skip
    table.add(
        "C", "durable commits of the lives", rate * DURABLE_COMMITS, "commits/s",
        floor=disk, than="commits alone, one after the other",
    )  # fmt: skip
    table.add("C", "answers of 503 (try again)", run.refused, "", none())
    table.add("C", "one life: p50", 1000 * median(run.took), "ms")
    table.add("C", "one life: p99", 1000 * percentile(run.took, 99), "ms")
    table.add("C", "requests of a life", each)
    table.add("C", "load generator's CPU for a life", 1000 * meter.own_cpu / run.over, "ms")
    table.add(
        "D", "server's CPU for a life", 1000 * meter.cpu / run.over, "ms", at_most(6, "ms"),
        floor=1000 * bare.cpu * each, than="bare server, as many requests",
    )  # fmt: skip


def database_pids() -> list[int]:
    """The PostgreSQL server's process, where one was started for this run."""
    from tests.support import database

    return [database.server._process.pid] if database.server else []
