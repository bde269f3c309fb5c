"""Row L: programs that print while their students watch; how soon a line is on the screen.

Twenty programs print ten lines a second, each watched over a stream of its own. The generator
stands for the executor too: it gathers what a program prints for 0.1 s, as that does, and sends it.
Beside it the bare server answers as many requests, so that what HTTP and TLS cost is known.
"""

import asyncio
import contextlib
import json
import time
from typing import Any, NamedTuple

from bench import live_programs
from bench.load import Answer, EmulatedExecutor, Student
from bench.measure import percentile
from bench.place import (
    Meter,
    Plan,
    close_all,
    executors,
    open_all,
    queue,
    say,
    start_bare,
    students,
)
from bench.report import Table, at_most, none

PROGRAMS = 20
LINES_A_SECOND = 10
GATHER_SECONDS = 0.1  # from a first line to the request that has it
LINE = "step %06d: residual 1.2345678e-03, 12.3 ms\n"
LENGTH = len(LINE % 0)
SETTLE_SECONDS = 2.0


class Program:
    """One that prints, the executor's connection for it, and its student's stream."""

    def __init__(self, student: Student, executor: EmulatedExecutor) -> None:
        self.student, self.executor = student, executor
        self.printed: list[float] = []  # when each line was
        self.told: list[float] = []
        self.sent = 0  # requests
        self.wrong = 0  # events that do not go on where the last one ended
        self.is_over = False

    async def begin(self) -> None:
        await self.student.submit()
        claimed = await self.executor.claim()
        assert claimed
        self._claimed = claimed

    async def watch(self) -> None:
        """Notes when each line is there, until the job is over."""

        def note(answer: Answer) -> bool:
            document = answer.json()
            if "offset" not in document:
                return document["state"] not in ("queued", "running")
            self.wrong += document["offset"] != LENGTH * len(self.told)
            self.told += [answer.at] * (len(document["text"]) // LENGTH)
            return False

        await self.student.connection.events(f"/jobs/{self.student.job['id']}/events", note)

    async def print(self, begins_at: float, until: float) -> None:
        """A line every tenth of a second; they leave by `send`."""
        number = 0
        while (due := begins_at + number / LINES_A_SECOND) < until:
            await asyncio.sleep(due - time.perf_counter())
            self.printed.append(time.perf_counter())
            number += 1
        self.is_over = True

    async def send(self) -> None:
        """What was printed since the last request, 0.1 s after its first line; then the result."""
        sent = 0
        while not self.is_over or sent < len(self.printed):
            if sent == len(self.printed):
                await asyncio.sleep(0.002)
                continue
            await asyncio.sleep(self.printed[sent] + GATHER_SECONDS - time.perf_counter())
            upto = len(self.printed)
            await self._send(sent, "".join(LINE % n for n in range(sent, upto)))
            sent = upto
        await self.executor.finish(self._claimed)

    async def _send(self, line: int, text: str) -> None:
        attempt = self._claimed["attempt"]
        body = {"lease_token": attempt["lease_token"], "log": "execute",
                "offset": LENGTH * line, "text": text}  # fmt: skip
        path = f"/attempts/{attempt['id']}/output"
        answer = await self.executor.connection.request("POST", path, body, expect=(200,))
        self.wrong += json.loads(answer.content) != {"watched": True}
        self.sent += 1

    def delays(self) -> list[float]:
        """Milliseconds from a line's printing to its student's having it."""
        return [1000 * (told - at) for at, told in zip(self.printed, self.told, strict=False)]


class Shown(NamedTuple):
    """One round."""

    programs: list[Program]
    meter: Meter
    errors: int

    @property
    def requests(self) -> int:
        return sum(program.sent for program in self.programs)


async def show(programs: list[Program], seconds: float, meter: Meter) -> Shown:
    """Everything from the submissions to the results; the middle is measured."""
    clients = [client for p in programs for client in (p.student, p.executor)]
    await open_all(clients)
    for program in programs:
        await program.begin()
    watching = [asyncio.create_task(program.watch()) for program in programs]
    await asyncio.sleep(SETTLE_SECONDS)
    began = time.perf_counter()
    step = 1 / LINES_A_SECOND / len(programs)  # they do not print at the same moment
    meter.start()
    printing = [
        asyncio.gather(program.print(began + place * step, began + seconds), program.send())
        for place, program in enumerate(programs)
    ]
    await asyncio.gather(*printing)
    meter.stop()
    ended = await asyncio.gather(*watching, return_exceptions=True)
    close_all(clients)
    return Shown(programs, meter, sum(isinstance(e, BaseException) for e in ended))


async def drive_bare(clients: list[Any], rate: float, seconds: float, meter: Meter) -> int:
    """As many requests a second to the bare server, with the same body."""
    await open_all(clients)
    done = 0
    body = {"lease_token": "x" * 43, "log": "execute", "offset": 0, "text": LINE % 0}

    async def ask(client: Any, begins_at: float) -> None:
        nonlocal done
        due = begins_at
        while due < until:
            await asyncio.sleep(due - time.perf_counter())
            await client.connection.request("POST", "/attempts/1/output", body, expect=(200,))
            done += 1
            due += len(clients) / rate

    began = time.perf_counter()
    until = began + seconds
    meter.start()
    await asyncio.gather(*(ask(c, began + n / rate) for n, c in enumerate(clients)))
    meter.stop()
    close_all(clients)
    return done


def measure(plan: Plan, table: Table) -> None:
    count, seconds = plan.size(PROGRAMS, 3), plan.size(20, 2)
    with queue() as world:
        users = world.users(count)
        host = world.executor("host")
        world.start_server()
        bare, port = start_bare(world)
        for turn in range(plan.rounds):
            pairs = zip(students(world, users), executors(world, host, count), strict=True)
            programs = [Program(*pair) for pair in pairs]
            shown = asyncio.run(show(programs, seconds, Meter(world.server.pid)))
            rate = shown.requests / shown.meter.seconds
            floor = Meter(bare.pid)
            asyncio.run(drive_bare(students(world, users, port), rate, seconds / 2, floor))
            note(table, shown, floor)
            delays = [delay for program in programs for delay in program.delays()]
            say(f"  round {turn + 1}: p50 {percentile(delays, 50):.0f} ms, "
                f"p99 {percentile(delays, 99):.0f} ms, {rate:.0f} requests/s, "
                f"CPU {100 * shown.meter.cpu / shown.meter.seconds:.1f} % "
                f"(bare {100 * floor.cpu / floor.seconds:.1f} %)")  # fmt: skip
            with contextlib.suppress(AssertionError):
                world.manage("telerun_db", "reset-submissions")
    live_programs.measure(plan, table)


def note(table: Table, shown: Shown, bare: Meter) -> None:
    """One round's lines."""
    delays = [delay for program in shown.programs for delay in program.delays()]
    for percent, limit in ((50, 150), (99, 300)):
        table.add(
            "L", f"a line, from the program to its student's screen: p{percent}",
            percentile(delays, percent), "ms", at_most(limit, "ms"),
            floor=1000 * GATHER_SECONDS, than="what is gathered for, where lines come one by one",
        )  # fmt: skip
    table.add(
        "L", f"server's CPU for {len(shown.programs)} watched programs, of one core",
        100 * shown.meter.cpu / shown.meter.seconds, "%", at_most(10, "%"),
        floor=100 * bare.cpu / bare.seconds, than="bare server, as many requests",
    )  # fmt: skip
    printed = sum(len(program.printed) for program in shown.programs)
    lost = printed - sum(len(program.told) for program in shown.programs)
    wrong = sum(program.wrong for program in shown.programs) + shown.errors
    table.add("L", "lines lost, out of place, or unwatched", lost + wrong, "", none())
    own = 100 * shown.meter.own_cpu / shown.meter.seconds
    table.add("L", "load generator's CPU, of one core", own, "%")
