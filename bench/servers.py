"""Row G: two queue servers on one PostgreSQL against one: do the lives a second grow?"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from bench.lives import CONCURRENT, Lives
from bench.place import Meter, Plan, executors, queue, say, students
from bench.report import Table, ratio_over

if TYPE_CHECKING:
    from tests.support.processes import World


def measure(plan: Plan, table: Table) -> None:
    with queue() as world:
        if "DATABASE_URL" not in world.environment:
            raise RuntimeError("several servers share a database on PostgreSQL alone")
        users = world.users(plan.size(2 * CONCURRENT, 4))
        host = world.executor("host")
        ports = [start_one_more(world) for _ in range(2)]
        for turn in range(plan.rounds):
            one, one_cpu = lives(world, users, host, ports[:1], plan)
            two, two_cpu = lives(world, users, host, ports, plan)
            say(f"  round {turn + 1}: one server {one:.0f} lives/s, two {two:.0f}")
            table.add(
                "G", "whole lives, two servers", two, "lives/s", ratio_over(1),
                floor=one, than="one server",
            )  # fmt: skip
            table.add("G", "CPU for a life", two_cpu, "ms", floor=one_cpu, than="one server")


def start_one_more(world: "World") -> int:
    """A server of this queue on a port of its own; the one before it runs on."""
    from tests.support.processes import free_port

    world.port = free_port()
    data = world.folder / f"data-{world.port}"
    data.mkdir()
    for name in ("server.cert", "server.key", "secret_key"):
        (data / name).write_bytes((world.data / name).read_bytes())
        (data / name).chmod(0o600)
    world.start_server(TELERUN_DATA_DIR=data)
    return world.port


def lives(
    world: "World", users: list[Path], host: Path, ports: list[int], plan: Plan
) -> tuple[float, float]:
    """Lives a second and CPU milliseconds for one, the clients spread over those servers."""
    share = len(users) // len(ports)
    clients, workers = [], []
    for place, port in enumerate(ports):
        clients += students(world, users[place * share : (place + 1) * share], port)
        workers += executors(world, host, share, port)
    run = Lives(clients, workers)
    meter = Meter(*(p.pid for p in world.processes))
    asyncio.run(run.run(plan.size(80, 10) / 10, meter))
    return run.over / meter.seconds, 1000 * meter.cpu / run.over
