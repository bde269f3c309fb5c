"""Row I: what held requests spare: 40 waiting students in the older way, and in Telerun's.

The older way: each asks for its job four times a second, over a fresh TLS connection each time.
"""

import asyncio
import time

from bench.load import Connection, Student
from bench.measure import percentile
from bench.place import Meter, Plan, close_all, open_all, queue, students
from bench.report import Table

WAITERS = 40
PERIOD_SECONDS = 0.25


async def poll(student: Student, fresh: Connection, until: float, took: list[float]) -> None:
    """Asks at the period, or as soon as the answer before is there where that is later."""
    due = time.perf_counter()
    while (now := time.perf_counter()) < until:
        await asyncio.sleep(max(0, due - now))
        due = max(due + PERIOD_SECONDS, time.perf_counter())
        began = time.perf_counter()
        answer = await fresh.request("GET", f"/jobs/{student.job['id']}", expect=(200,))
        fresh.close()
        took.append(1000 * (answer.at - began))


async def both(
    clients: list[Student], fresh: list[Connection], seconds: float, meter: Meter
) -> tuple[list[float], float, float]:
    """Poll latencies; the server's CPU, per cent of a core, while polled and while waited on."""
    await open_all(clients)
    await asyncio.gather(*(c.submit() for c in clients))
    took: list[float] = []
    until = time.perf_counter() + seconds
    meter.start()
    await asyncio.gather(*(poll(c, f, until, took) for c, f in zip(clients, fresh, strict=True)))
    meter.stop()
    polled = 100 * meter.cpu / meter.seconds
    waits = [asyncio.create_task(c.wait()) for c in clients]
    await asyncio.sleep(0.5)
    meter.start()
    await asyncio.sleep(seconds)
    meter.stop()
    if any(w.done() for w in waits):
        raise RuntimeError("a held request was answered although nothing had happened")
    for task in waits:
        task.cancel()
    close_all(clients)
    return took, polled, 100 * meter.cpu / meter.seconds


def measure(plan: Plan, table: Table) -> None:
    waiters, seconds = plan.size(WAITERS, 8), plan.size(8, 2)
    for _ in range(plan.rounds):
        with queue() as world:
            users = world.users(waiters)
            world.start_server()
            fresh = [s.connection for s in students(world, users)]
            meter = Meter(world.server.pid)
            took, polled, held = asyncio.run(both(students(world, users), fresh, seconds, meter))
        what = f"server's CPU, of one core, {waiters} students polling"
        table.add("I", what, polled, "%", floor=held, than="as many held requests")
        for percent in (50, 99):
            what = f"answer to a poll over a fresh connection: p{percent}"
            table.add("I", what, percentile(took, percent), "ms")
        table.add("I", "polls answered a second", len(took) / seconds)
