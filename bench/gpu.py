"""Row F: whether the GPU is kept busy: 20 jobs that compile 1 s and run 1 s, one execution worker.

Ideal: the first compile, and then one program after the other.
"""

import asyncio
import time

from bench.load import Student
from bench.place import Plan, close_all, open_all, queue, say, students
from bench.report import Table, busy_at_least
from bench.stub import compiler


async def all_at_once(clients: list[Student]) -> float:
    """Seconds from the first submission until the last student has its result."""
    await open_all(clients)
    began = time.perf_counter()
    await asyncio.gather(*(c.submit() for c in clients))
    await asyncio.gather(*(c.wait_until_over() for c in clients))
    seconds = time.perf_counter() - began
    close_all(clients)
    if wrong := [c.job for c in clients if c.job["outcome"] != "succeeded"]:
        raise RuntimeError(f"jobs ended otherwise: {wrong[0]}")
    return seconds


def measure(plan: Plan, table: Table) -> None:
    jobs, seconds = plan.size(20, 5), plan.size(10, 3) / 10
    ideal = jobs * seconds + seconds
    for _ in range(min(plan.rounds, 2)):
        for workers in (1, 2):
            with queue() as world:
                users = world.users(jobs)
                host = world.executor("host")
                world.start_server()
                world.start_executor(host, compile=workers, nvcc=compiler(world.folder, seconds))
                took = asyncio.run(all_at_once(students(world, users)))
            say(f"  {workers} compile workers: {took:.1f} s, ideal {ideal:.1f} s")
            table.add(
                "F", f"{jobs} jobs, compile workers: {workers}", took, "s", busy_at_least(95),
                floor=ideal, than="programs one after the other, and one compile",
            )  # fmt: skip
