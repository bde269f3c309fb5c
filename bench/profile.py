"""`python -m bench.profile [SECONDS]`: where the server's CPU time goes during row C.

py-spy looks at every server process while the lives run, without stopping it: some samples are
lost. It prints functions by their own time and by the time with what they called, and keeps the
stacks for a flame graph.
"""

import argparse
import asyncio
import collections
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def profile(options: argparse.Namespace) -> str:
    with queue() as world:
        users = world.users(options.lives)
        host = world.executor("host")
        world.start_server()
        run = Lives(students(world, users), executors(world, host, options.lives))
        meter = Meter(world.server.pid)
        workers = family(world.server.pid)[1:]
        folder = world.folder / "stacks"
        folder.mkdir()
        spies = spy_on(workers, options.seconds, folder)
        asyncio.run(run.run(options.seconds, meter, warm_up=WARM_UP_SECONDS))
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
    return (
        f"{run.over / meter.seconds:.0f} lives/s under py-spy, {run.refused} answers of 503, "
        f"{1000 * meter.cpu / run.over:.1f} ms of the server's CPU for a life\n"
        + top(stacks, options.top)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=int, default=15)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--lives", type=int, default=CONCURRENT, metavar="N", help="at a time")
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
