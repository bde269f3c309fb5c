"""Programs that mean harm, on this host, and with its GPU in their sandbox."""

import os
from pathlib import Path
from typing import Any

from tests.gpu_check.deadline import OutOfTime
from tests.gpu_check.host import Host
from tests.gpu_check.table import NotTested, check


@check(
    "the hostile programs get their outcome, and the job after each is unaffected",
    seconds=480,
    in_sandbox=True,
)
def corpus(host: Host) -> str:
    hostile = their_tests()
    if not Path(hostile.PYTHON).exists():
        raise NotTested(f"{hostile.PYTHON} is missing, which some of them are written for")
    slow = [name for name in hostile.NAMES if hostile.uses_up_its_time(name)]
    quick = [name for name in hostile.NAMES if name not in slow]
    done: list[str] = []
    faults: list[str] = []
    try:
        for names, limits in ((quick, hostile.LIMITS), (slow, hostile.HASTY)):
            faults += run_all(host, hostile, names, limits, done)
    except OutOfTime:
        if faults:
            raise AssertionError("; ".join(faults)[:1000]) from None
        host.close_course()
        raise NotTested(
            f"out of time after {len(done)} of {len(hostile.NAMES)} programs, which all did well"
        ) from None
    assert not faults, "; ".join(faults)[:1000]
    return f"{len(done)} programs" + ("" if host.gpus else ", on a host without GPU")


def run_all(
    host: Host, hostile: Any, names: list[str], limits: dict[str, int], done: list[str]
) -> list[str]:
    """What is wrong with any of them; `done` gets the name of each that is over."""
    theirs = host.new_course(1, *hostile.RUNS_PYTHON, **limits)
    scratch = theirs.world.folder / "scratch"
    course = hostile.Course(theirs.world, theirs.auth, scratch, alice=theirs.alice)
    faults = []
    for name in names:
        faults += course.faults(name) + course.faults(hostile.HEALTHY)
        done.append(name)
    faults += theirs.quarantines()
    host.close_course()
    return faults


def their_tests() -> Any:
    """tests/test_hostile.py. Raises NotTested where what it is written with is not installed."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")
    django.setup()
    try:
        from tests import test_hostile
    except ImportError as error:
        raise NotTested(
            f"{error.name} is not installed, which tests/test_hostile.py needs"
        ) from None
    return test_hostile
