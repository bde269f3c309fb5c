"""`python -m tests.faults`: the matrix at length, on one database or both."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.postgres import binaries
from tests.support.processes import ROOT

if TYPE_CHECKING:  # importing them settles which database it is
    from tests.faults.rows import Outcome, Template

DATABASES = ("sqlite", "postgresql")


def main() -> int:
    """1 if anything does not hold."""
    options = parse()
    seed = options.seed or f"{random.randrange(10**6)}"
    if options.database == "both":
        return max([_again(name, seed, options.markdown) for name in DATABASES])
    if os.environ.get("TELERUN_TEST_DATABASE", "sqlite") != options.database:
        return _again(options.database, seed, options.markdown)
    return _run(options, seed)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    add = parser.add_argument
    add("--rows", type=numbers, metavar="N,N", help="these rows alone")
    add("--database", choices=[*DATABASES, "both"], default="both")
    add("--seed", help="of the random moments; it is printed, so that a run can be repeated")
    add("--scale", type=float, default=1.0, metavar="F", help="F times as many tries")
    add("--at-once", type=int, default=2, metavar="N", help="rows played at the same time")
    add("--markdown", type=Path, metavar="FILE", help="append the table to a file")
    add("--soak", type=float, metavar="MINUTES", help="all faults at random, for that long")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _again(name: str, seed: str, markdown: Path | None) -> int:
    """The same command on one database: which one is settled when modules are imported."""
    environment = {**os.environ, "TELERUN_TEST_DATABASE": name}
    if name == "postgresql" and not (binaries() or "DATABASE_URL" in os.environ):
        print("SKIPPED on PostgreSQL: needs PostgreSQL", flush=True)
        return int(os.environ.get("CI") == "true")
    argv = [sys.executable, "-m", "tests.faults", *sys.argv[1:], "--database", name, "--seed", seed]
    return subprocess.run(argv, cwd=ROOT, env=environment).returncode


def _run(options: argparse.Namespace, seed: str) -> int:
    from tests.faults import rows
    from tests.support import database

    print(f"Faults on {rows.database_name()}, seed {seed}.", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="telerun-faults-"))
    try:
        template = rows.new_template(folder)
        if options.soak:
            from tests.faults import soak

            outcomes = [soak.run(template, options.soak, seed)]
            tell(outcomes[0].violations)
        else:
            outcomes = list(_play(options, template, seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        database.pytest_unconfigure()
    text = table(outcomes)
    print(text, flush=True)
    if options.markdown:
        with options.markdown.open("a") as file:
            file.write(text)
    return int(any(outcome.violations for outcome in outcomes))


def _play(options: argparse.Namespace, template: "Template", seed: str) -> Iterable["Outcome"]:
    from tests.faults import rows

    table = rows.load()
    chosen = [table[number] for number in options.rows or sorted(table)]
    outcomes = []
    with ThreadPoolExecutor(options.at_once) as pool:
        playing = []
        for row in chosen:
            if lacking := rows.missing(row):
                print(f"row {row.number}: SKIPPED, needs {', '.join(lacking)}", flush=True)
                continue
            tries = max(1, round(row.tries * options.scale))
            playing.append(pool.submit(rows.play, row, template, tries, seed))
        for ended in as_completed(playing):
            outcomes.append(outcome := ended.result())
            print(line(outcome), flush=True)
            tell(outcome.violations)
    return sorted(outcomes, key=lambda outcome: outcome.row.number)


def tell(violations: list[str], most: int = 10) -> None:
    """The first of them; the last says where the logs are."""
    left_out = violations[most:-1]
    for violation in [*violations[:most], *violations[most:][-1:]]:
        print(f"  VIOLATION: {violation[:3000]}", flush=True)
    if left_out:
        print(f"  ... and {len(left_out)} more", flush=True)


def line(outcome: "Outcome") -> str:
    """A row that has ended, in a line."""
    row, _, tries, violations, seconds = outcome
    counts = f"{tries} tries, {len(violations)} violations, {seconds:.0f} s"
    return f"row {row.number}: {row.fault}: {counts}"


def table(outcomes: Iterable["Outcome"]) -> str:
    """In Markdown."""
    head = "| row | fault | database | tries | violations | seconds |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| {row.number} | {row.fault} | {name} | {tries} | {len(violations)} | {seconds:.0f} |\n"
        for row, name, tries, violations, seconds in outcomes
    )
