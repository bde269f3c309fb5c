"""`python -m bench`: measures the rows and prints a table (docs/performance.md)."""

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import (
    claiming,
    classroom,
    gpu,
    live,
    lives,
    neighbour,
    overhead,
    polling,
    servers,
    slow_disk,
    staff_pages,
    stalls,
    waiting,
)
from bench.place import Plan, choose_database, leave_database, say
from bench.report import Table


class Row(NamedTuple):
    """A group of rows that one function measures."""

    letters: str
    about: str
    measure: Callable[[Plan, Table], None]
    databases: tuple[str, ...] = ("sqlite", "postgresql")


ROWS = [
    Row("A", "overhead of a job", overhead.measure),
    Row("B", "waiting students", waiting.measure),
    Row("CD", "whole lives", lives.measure),
    Row("E", "claims from a long queue", claiming.measure),
    Row("F", "GPU kept busy", gpu.measure),
    Row("G", "two servers, one database", servers.measure, ("postgresql",)),
    Row("H", "300 students at once", classroom.measure),
    Row("I", "polling, the older way", polling.measure, ("sqlite",)),
    Row("J", "a slow disk", slow_disk.measure, ("sqlite",)),
    Row("K", "the hub's longest stall", stalls.measure),
    Row("L", "watched programs", live.measure),
    Row("N", "staff's pages at a million jobs", staff_pages.measure),
    Row("M", "a neighbour with many threads", neighbour.measure, ("sqlite",)),
]


def measured(row: Row, plan: Plan, table: Table) -> None:
    """Adds the row's lines to the table, or that it could not be measured."""
    say(f"{', '.join(row.letters)}: {row.about}")
    began = time.monotonic()
    try:
        row.measure(plan, table)
    except Exception:
        traceback.print_exc()
        for letter in row.letters:
            table.not_measured(letter, row.about)
    say(f"  took {time.monotonic() - began:.0f} s")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", default="", metavar="A,C", help="these alone (default: all)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it runs")
    parser.add_argument("--jobs", type=int, default=1_000_000, metavar="N", help="of row N")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="append the table there too")
    return parser.parse_args(argv)


def heading(plan: Plan) -> str:
    """What the figures were taken on."""
    cores = len(os.sched_getaffinity(0))
    size = ", quick (no figures to quote)" if plan.quick else ""
    return (
        f"{plan.database}, {plan.rounds} rounds, medians, {cores} cores, "
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}{size}"
    )


def chosen(rows: str, database: str) -> list[Row]:
    wanted = set(rows.upper().replace(",", "").replace(" ", ""))
    if unknown := wanted - set("".join(row.letters for row in ROWS)):
        sys.exit(f"There are no rows {', '.join(sorted(unknown))}.")
    return [
        row
        for row in ROWS
        if (wanted & set(row.letters)) or (not wanted and database in row.databases)
    ]


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    plan = Plan(options.database, options.rounds, options.quick, options.jobs)
    rows = chosen(options.rows, options.database)
    table = Table()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    choose_database(options.database)
    try:
        for row in rows:
            measured(row, plan, table)
    finally:
        leave_database()
    print(f"\n{heading(plan)}\n\n{table.plain()}", flush=True)
    if options.markdown:
        with open(options.markdown, "a") as file:
            file.write(f"\n{heading(plan)}\n\n{table.markdown()}")
    return int(not table.is_whole)


if __name__ == "__main__":
    sys.exit(main())
