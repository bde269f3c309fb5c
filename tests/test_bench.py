"""The benchmark runs: its smallest row, with tiny counts. What it measures is not looked at."""

import sys
from pathlib import Path

import pytest

from bench.classroom import unfair
from tests.support.database import ON_POSTGRESQL
from tests.support.processes import ROOT, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.hardening]


def test_row_c_is_measured(tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    done = run(
        [sys.executable, "-m", "bench", "--rows", "C", "--quick", "--rounds", "1",
         "--database", "postgresql" if ON_POSTGRESQL else "sqlite", "--markdown", table],
        cwd=ROOT,
    )  # fmt: skip
    assert done.no_traceback().status == 0, done.err
    lines = {cells[2].strip(): cells for line in table.read_text().splitlines()
             if len(cells := line.split("|")) == 9}  # fmt: skip
    assert float(lines["whole lives"][4].split()[0]) > 0
    assert float(lines["server's CPU for a life"][4].split()[0]) > 0


def test_a_row_that_there_is_not() -> None:
    done = run([sys.executable, "-m", "bench", "--rows", "C,Z"], cwd=ROOT)
    assert done.no_traceback().status == 1
    assert done.err == "There are no rows Z.\n"


@pytest.mark.once
@pytest.mark.parametrize(("served", "unfairly"), [("abcab", 0), ("abacb", 1), ("aabbc", 2)])
def test_unfair_service_is_noticed(served: str, unfairly: int) -> None:
    """Three users with their jobs, claimed in that order."""
    jobs = list(enumerate(sorted(served), start=1))
    lines = [{"action": "submitted", "username": user, "job_id": job} for job, user in jobs]
    for name in served:
        claimed = next(pair for pair in jobs if pair[1] == name)
        jobs.remove(claimed)
        lines.append({"action": "claimed", "username": "executor:x", "job_id": claimed[0]})
    assert unfair(lines) == unfairly
