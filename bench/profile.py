"""`python -m bench.profile [SECONDS] [--row L]`: where the server's CPU goes during row C, or L.

py-spy looks at every server process while the lives run, without stopping it: some samples are
lost. It prints functions by their own time and by the time with what they called, and keeps the
stacks for a flame graph.
"""

import argparse
import asyncio
import collections
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.live import PROGRAMS, Program, show
from bench.lives import CONCURRENT, Lives
from bench.measure import family
from bench.place import (
    Meter,
    choose_database,
    executors,
    leave_database,
    queue,
    students,
)

if TYPE_CHECKING:
    from tests.support.processes import World

WARM_UP_SECONDS = 3
# py-spy takes some threads for busy that sleep here. One that waits for SQLite's lock cannot be
# told from one that works in it: both are in execute().
ASLEEP = ("Condition.wait ", "_worker ", "EpollSelector.select ", "_Pulse._watch ")


def spy_on(pids: list[int], seconds: int, folder: Path) -> list[Any]:
    """One py-spy a process, stacks into FOLDER/PID."""
    spy = Path(sys.executable).with_name("py-spy")
    options = [
        "--rate",
        100,
        "--duration",
        seconds,
        "--format",
        "raw",
        "--nolineno",
        "--nonblocking",
    ]
    return [
        subprocess.Popen(
            [
                str(p)
                for p in [spy, "record", *options, "--pid", pid, "--output", folder / str(pid)]
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for pid in pids
    ]


def top(stacks: collections.Counter[str], count: int) -> str:
    """The table of functions: by own samples, then by samples with what they called."""
    own: collections.Counter[str] = collections.Counter()
    below: collections.Counter[str] = collections.Counter()
    for stack, samples in stacks.items():
        frames = stack.split(";")
        own[frames[-1]] += samples
        for frame in set(frames):
            below[frame] += samples
    total = sum(own.values()) or 1
    parts = []
    for title, counter in (("own time", own), ("time with what it called", below)):
        parts.append(f"\n{title}, of {total} samples:\n")
        parts += [f"{100 * n / total:6.2f} %  {name}\n" for name, n in counter.most_common(count)]
    return "".join(parts)


def whole_lives(world: "World", count: int) -> "Work":
    """Row C."""
    users, host = world.users(count), world.executor("host")

    def work(seconds: int, meter: Meter) -> str:
        run = Lives(students(world, users), executors(world, host, count))
        asyncio.run(run.run(seconds, meter, warm_up=WARM_UP_SECONDS))
        return (
            f"{run.over / meter.seconds:.0f} lives/s under py-spy, {run.refused} answers of 503, "
            f"{1000 * meter.cpu / run.over:.1f} ms of the server's CPU for a life\n"
        )

    return work


def watched_programs(world: "World", count: int) -> "Work":
    """Row L."""
    users, host = world.users(count), world.executor("host")

    def work(seconds: int, meter: Meter) -> str:
        pairs = zip(students(world, users), executors(world, host, count), strict=True)
        shown = asyncio.run(show([Program(*pair) for pair in pairs], seconds, meter))
        return (
            f"{count} watched programs under py-spy, {shown.requests / meter.seconds:.0f} "
            f"requests/s, {100 * meter.cpu / meter.seconds:.1f} % of a core, "
            f"{shown.errors} errors\n"
        )

    return work


# What a row does for so many seconds, measured by the meter; it says what came of it.
Work = Callable[[int, Meter], str]
ROWS = {"C": (whole_lives, CONCURRENT), "L": (watched_programs, PROGRAMS)}


def profile(options: argparse.Namespace) -> str:
    prepared, count = ROWS[options.row]
    with queue() as world:
        work = prepared(world, options.count or count)
        world.start_server()
        meter = Meter(world.server.pid)
        folder = world.folder / "stacks"
        folder.mkdir()
        spies = spy_on(family(world.server.pid)[1:], options.seconds, folder)
        told = work(options.seconds, meter)
        for spy in spies:
            spy.wait(60)
        stacks: collections.Counter[str] = collections.Counter()
        for file in folder.iterdir():
            for line in file.read_text().splitlines():
                stack, _, samples = line.rpartition(" ")
                if not stack.rpartition(";")[2].startswith(ASLEEP):
                    stacks[stack] += int(samples)
        if options.stacks:
            options.stacks.write_text("".join(f"{stack} {n}\n" for stack, n in stacks.items()))
    return told + top(stacks, options.top)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=int, default=15)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--row", choices=tuple(ROWS), default="C")
    parser.add_argument("--count", type=int, metavar="N", help="lives, or programs, at a time")
    parser.add_argument("--top", type=int, default=40, metavar="N", help="functions to print")
    parser.add_argument("--stacks", type=Path, metavar="FILE", help="keep the collapsed stacks")
    options = parser.parse_args()
    choose_database(options.database)
    try:
        print(profile(options))
    finally:
        leave_database()


if __name__ == "__main__":
    main()
