"""The table of checks: what each needs, and what came of it."""

import traceback
from collections.abc import Callable
from typing import NamedTuple

from tests.gpu_check.deadline import Deadline, OutOfTime, at_most
from tests.gpu_check.host import Host, executor
from tests.gpu_check.paper import PAPER

PASSED, FAILED, NOT_HERE, NOT_TESTED = "passed", "FAILED", "not here", "not tested"


class NotHere(Exception):
    """The host has not what a check is about; the message says what."""


class NotTested(Exception):
    """The host has it, and it was not tried; the message says why."""


class Check(NamedTuple):
    """One row: what is to hold, what a test of it needs, and the test, which says what it saw."""

    words: str
    needs: str
    seconds: float  # how long it may take
    in_sandbox: bool  # whether it says nothing without one, or is dangerous
    test: Callable[[Host], str]

    @property
    def paper(self) -> str:
        """The tests that show as much of it as can be shown without a GPU; "" for none."""
        return PAPER.get(self.test.__name__, "")


class Outcome(NamedTuple):
    """What came of a check, and what was seen."""

    check: Check
    result: str
    seen: str


CHECKS: list[Check] = []


def check(
    words: str, needs: str = "", seconds: float = 60, in_sandbox: bool = False
) -> Callable[[Callable[[Host], str]], Callable[[Host], str]]:
    """Enters a function into the table. `needs` is for `Host.lacks`."""

    def enter(test: Callable[[Host], str]) -> Callable[[Host], str]:
        CHECKS.append(Check(words, needs, seconds, in_sandbox, test))
        return test

    return enter


def run(one: Check, host: Host, deadline: Deadline) -> Outcome:
    """Never raises: a check that goes wrong has failed."""
    if lacking := host.lacks(one.needs):
        return Outcome(one, NOT_HERE, lacking)
    if one.in_sandbox and host.is_without_sandbox:
        return Outcome(one, NOT_TESTED, "--without-sandbox was given")
    if deadline.left() <= 0:
        return Outcome(one, NOT_TESTED, "out of time")
    seconds = min(one.seconds, deadline.left())
    try:
        with at_most(seconds):
            return Outcome(one, PASSED, one.test(host))
    except NotHere as why:
        return Outcome(one, NOT_HERE, str(why))
    except NotTested as why:
        return Outcome(one, NOT_TESTED, str(why))
    except OutOfTime:
        host.close_course()  # whatever it was waiting for goes with it
        if seconds < one.seconds:
            return Outcome(one, NOT_TESTED, f"out of time, {seconds:.0f} s after it began")
        return Outcome(one, FAILED, f"it was not over after {seconds:.0f} s")
    except (AssertionError, executor.BadSetup) as error:
        return Outcome(one, FAILED, str(error) or "it does not hold")
    except Exception:
        return Outcome(one, FAILED, traceback.format_exc().strip())


def line(outcome: Outcome) -> str:
    """One row in Markdown; of several lines only the last. Of what has not been shown on a GPU it
    says which tests show the half of it that paper can."""
    seen = (outcome.seen.splitlines() or [""])[-1].replace("|", "\\|")[:300]
    if outcome.result in (NOT_HERE, NOT_TESTED) and outcome.check.paper:
        seen += f"; on paper: {outcome.check.paper}"
    return f"| {outcome.check.words} | {outcome.result} | {seen} |"


def summary(outcomes: list[Outcome]) -> str:
    """The counts, and of what was not passed, why."""
    counts = {
        result: [one for one in outcomes if one.result == result]
        for result in (PASSED, FAILED, NOT_HERE, NOT_TESTED)
    }
    words = f"{len(counts[PASSED])} passed, {len(counts[FAILED])} failed"
    for result, name in ((NOT_HERE, "not here"), (NOT_TESTED, "NOT TESTED")):
        if some := counts[result]:
            words += f", {len(some)} {name} ({', '.join(sorted({one.seen for one in some}))})"
    return words + "."


def exit_status(outcomes: list[Outcome]) -> int:
    """0: whatever this host has was tested, and passed. 1: something failed. 3: something that it
    has was not tested."""
    results = {outcome.result for outcome in outcomes}
    if FAILED in results:
        return 1
    return 3 if NOT_TESTED in results else 0
