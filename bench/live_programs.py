"""Row L with a real executor: real programs in the sandbox, each watched by its student.

Each program prints the clock ten times a second; the clock is that of all processes, so a line says
itself how old it is when it is there. The first two seconds do not count: others still compile.
"""

import asyncio
import time

from bench.load import Answer, Student
from bench.measure import percentile
from bench.place import Meter, Plan, close_all, open_all, queue, say, students
from bench.report import Table, at_most, none

PROGRAMS = 20
LINES_A_SECOND = 10
SETTLE_SECONDS = 2.0
SOURCE = r"""#include <cstdio>
#include <ctime>
int main() {
    for (int line = 0; line < LINES; line++) {
        timespec now, pause = {0, 100000000};
        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%ld.%09ld\n", (long)now.tv_sec, now.tv_nsec);
        nanosleep(&pause, nullptr);
    }
}
"""


class WatchedProgram:
    """A student who waits for the lines of a program."""

    def __init__(self, student: Student) -> None:
        self.student = student
        self.delays: list[tuple[float, float]] = []  # when a line was printed, and how late it came
        self.missing = 0  # bytes that were left out

    async def run(self, source: str) -> None:
        connection = self.student.connection
        body = {"source": source, "filename": "clock.cpp", "platform": "cpu"}
        answer = await connection.request("POST", "/jobs", body, expect=(201, 422))
        while answer.status == 422:  # the host has not said yet what it offers
            await asyncio.sleep(0.1)
            answer = await connection.request("POST", "/jobs", body, expect=(201, 422))
        offset, rest = 0, ""

        def note(answer: Answer) -> bool:
            nonlocal offset, rest
            document = answer.json()
            if document.get("log") == "execute":
                self.missing += document["offset"] - offset
                offset = document["offset"] + len(document["text"])
                *lines, rest = (rest + document["text"]).split("\n")
                self.delays += [(float(line), answer.at - float(line)) for line in lines]
            return document.get("state") not in (None, "queued", "running")

        await connection.events(f"/jobs/{answer.json()['id']}/events", note)


async def show(programs: list[WatchedProgram], source: str, meters: list[Meter]) -> list[float]:
    """Runs them all; the milliseconds from a line's printing to its student's having it."""
    clients = [program.student for program in programs]
    await open_all(clients)
    running = [asyncio.create_task(program.run(source)) for program in programs]
    while not all(program.delays for program in programs):
        await asyncio.sleep(0.1)
        for task in running:
            if task.done():
                task.result()
    await asyncio.sleep(SETTLE_SECONDS)
    began = time.perf_counter()
    for meter in meters:
        meter.start()
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    ended = time.perf_counter()
    for meter in meters:
        meter.stop()
    await asyncio.gather(*running)
    close_all(clients)
    found = [pair for program in programs for pair in program.delays]
    return [1000 * late for at, late in found if began < at < ended - 1]


def measure(plan: Plan, table: Table) -> None:
    from tests.support.processes import has_sandbox

    if not has_sandbox():
        say("  Not measured: a real executor needs bubblewrap.")
        return
    count, seconds = plan.size(PROGRAMS, 3), plan.size(20, 3)
    lines = int((seconds + 2 * SETTLE_SECONDS) * LINES_A_SECOND)
    source = SOURCE.replace("LINES", str(lines))
    with queue() as world:
        users, host = world.users(count), world.executor("host")
        world.start_server()
        executor = world.start_executor(host, "--nproc-cpu", count, execute=0)
        for _ in range(plan.rounds):
            programs = [WatchedProgram(student) for student in students(world, users)]
            meters = [Meter(world.server.pid), Meter(executor.pid)]
            delays = asyncio.run(show(programs, source, meters))
            server, own = (100 * meter.cpu / meter.seconds for meter in meters)
            for percent, limit in ((50, 150), (99, 300)):
                table.add(
                    "L", f"a line of a real program in the sandbox, to its student: p{percent}",
                    percentile(delays, percent), "ms", at_most(limit, "ms"),
                )  # fmt: skip
            table.add("L", f"executor's CPU for {count} watched programs, of one core", own, "%")
            table.add("L", "server's CPU for the same, of one core", server, "%")
            missing = sum(program.missing for program in programs)
            table.add("L", "bytes of real programs left out", missing, "", none())
            p50, p99 = percentile(delays, 50), percentile(delays, 99)
            say(
                f"  real programs: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
                f"executor {own:.0f} %, server {server:.0f} %"
            )
