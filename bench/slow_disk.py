"""Row J: whole lives on a disk whose fsync takes 10 ms, as a memory card's does."""

import asyncio
import subprocess
from pathlib import Path

from bench.lives import CONCURRENT, Lives
from bench.place import Meter, Plan, executors, queue, say, students
from bench.report import Table, at_least

SYNC_SECONDS = 0.010


def library(folder: Path) -> Path:
    """The library that makes syncs slow, compiled."""
    made = folder / "slow_fsync.so"
    source = Path(__file__).with_name("slow_fsync.c")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def measure(plan: Plan, table: Table) -> None:
    concurrent = plan.size(CONCURRENT, 3)
    with queue() as world:
        users = world.users(concurrent)
        host = world.executor("host")
        world.start_server(LD_PRELOAD=library(world.folder))
        for turn in range(plan.rounds):
            run = Lives(students(world, users), executors(world, host, concurrent))
            meter = Meter(world.server.pid)
            asyncio.run(run.run(plan.size(100, 10) / 10, meter))
            rate = run.over / meter.seconds
            table.add(
                "J", "whole lives where an fsync takes 10 ms", rate, "lives/s",
                at_least(80, "lives/s"),
                floor=1 / SYNC_SECONDS, than="syncs, one after the other",
            )  # fmt: skip
            say(f"  round {turn + 1}: {rate:.0f} lives/s")
