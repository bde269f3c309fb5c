"""The table of checks: what each needs, and what came of it."""

import traceback
from collections.abc import Callable
from typing import NamedTuple

from tests.gpu_check.host import Host, executor

PASSED, FAILED, NOT_TESTED = "passed", "FAILED", "not tested"


class Check(NamedTuple):
    """One row: what is to hold, what a test of it needs, and the test, which says what it saw."""

    words: str
    needs: str
    test: Callable[[Host], str]


class Outcome(NamedTuple):
    """What came of a check, and what was seen."""

    check: Check
    result: str
    seen: str


CHECKS: list[Check] = []


def check(words: str, needs: str = "") -> Callable[[Callable[[Host], str]], Callable[[Host], str]]:
    """Enters a function into the table. `needs` is for `Host.lacks`."""

    def enter(test: Callable[[Host], str]) -> Callable[[Host], str]:
        CHECKS.append(Check(words, needs, test))
        return test

    return enter


def run(one: Check, host: Host) -> Outcome:
    """Never raises: a check that goes wrong has failed."""
    if lacking := host.lacks(one.needs):
        return Outcome(one, NOT_TESTED, lacking)
    try:
        return Outcome(one, PASSED, one.test(host))
    except (AssertionError, executor.BadSetup) as error:
        return Outcome(one, FAILED, str(error) or "it does not hold")
    except Exception:
        return Outcome(one, FAILED, traceback.format_exc().strip())


def line(outcome: Outcome) -> str:
    """One row in Markdown; of several lines only the last."""
    seen = (outcome.seen.splitlines() or [""])[-1].replace("|", "\\|")
    return f"| {outcome.check.words} | {outcome.result} | {seen[:200]} |"


def summary(outcomes: list[Outcome]) -> str:
    """The counts, and of what was not tested, why."""
    counts = {r: [o for o in outcomes if o.result == r] for r in (PASSED, FAILED, NOT_TESTED)}
    words = f"{len(counts[PASSED])} passed, {len(counts[FAILED])} failed"
    if untested := counts[NOT_TESTED]:
        why = ", ".join(sorted({outcome.seen for outcome in untested}))
        words += f", {len(untested)} NOT TESTED ({why})"
    return words + "."
