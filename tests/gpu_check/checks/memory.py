"""The host's memory that the driver gives to programs, which is in nobody's ordinary count."""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.gpu_check.course import Course
from tests.gpu_check.host import TIGHT, Host, is_root
from tests.gpu_check.table import NotHere, check
from tests.support.processes import run

LIMIT = 2 << 30  # bytes, for a job
ROOMY = {**TIGHT, "TELERUN_MEMORY_BYTES": LIMIT, "TELERUN_EXECUTE_SECONDS": 30}
KINDS = ("pinned", "write-combined", "registered", "managed")


def roomy(host: Host) -> Course:
    """The course of these checks, kept for the next of them."""
    return host.course_of("roomy", **ROOMY)


@check(
    "pinned, write-combined, registered and managed memory is limited, by the watchdog", "a GPU",
    120,
)  # fmt: skip
def memory_by_watchdog(host: Host) -> str:
    course = roomy(host)
    assert "cgroup" not in mode_of(course), f"it has limits by {mode_of(course)}"
    return limited(course)


@check("the same, by cgroups", "a GPU", 120)
def memory_by_cgroups(host: Host) -> str:
    with ExitStack() as stack:
        prefix = delegated(stack)
        course = host.new_course(1, prefix=prefix, **ROOMY)
        try:
            assert "cgroup" in mode_of(course), (
                f"{prefix[0]} gave the executor no cgroup: it has limits by {mode_of(course)}"
            )
            return limited(course)
        finally:
            host.close_course()


def limited(course: Course) -> str:
    """Half the limit is given, twice the limit is not, and the next job finds nothing of it."""
    faults, seen = [], ""
    for kind in KINDS:
        tries: list[tuple[Any, int, str]] = [
            (course.check, LIMIT // 2, ""),
            (course.check_after, LIMIT * 2, "memory_exceeded"),
        ]
        for try_one, amount, outcome in tries:
            try:
                told = try_one("takes_host_memory", kind, amount >> 20, outcome=outcome)
            except AssertionError as error:
                faults.append(f"{kind}, {amount >> 20} MiB: {error}")
                continue
            seen = seen if outcome else told
    assert not faults, "; ".join(faults)
    return f"{LIMIT >> 20} MiB: half of it is given, twice is memory_exceeded; {seen}"


def mode_of(course: Course) -> str:
    """How the executor says that it keeps limits."""
    found = re.search(r"limits by ([^,]+)", course.executor.told())
    return found[1] if found else "nothing that it says"


def delegated(stack: ExitStack) -> tuple[Any, ...]:
    """What to start an executor with so that it has a cgroup to itself, as Delegate=yes gives one.

    Raises NotHere if this machine gives none.
    """
    if Path("/run/systemd/system").is_dir() and shutil.which("systemd-run"):
        whose = [] if is_root() else ["--user"]
        how = ["systemd-run", *whose, "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"]
        done = run([*how, "true"])
        if done.status == 0:
            return tuple(how)
        raise NotHere(f"systemd-run gives no cgroup: {done.err.strip()[-150:]}")
    group = new_group()
    stack.callback(remove, group)
    return ("sh", "-c", 'echo $$ >"$0" && exec "$@"', group / "cgroup.procs")


def new_group(root: Path = Path("/sys/fs/cgroup")) -> Path:
    """A cgroup with the controllers that the executor needs. Raises NotHere."""
    try:
        given = set((root / "cgroup.subtree_control").read_text().split())
        if not {"memory", "pids"} <= given:
            raise NotHere(f"{root}/cgroup.subtree_control gives no memory and pids, only {given}")
        group = root / "telerun-gpu-check"
        group.mkdir(exist_ok=True)
    except OSError as error:
        raise NotHere(f"no cgroup (version 2) can be made here: {error}") from None
    return group


def remove(group: Path) -> None:
    """The group and those in it, which are empty by now."""
    below = [path for path in group.rglob("*") if path.is_dir()]
    for path in [*sorted(below, reverse=True), group]:
        try:
            path.rmdir()
        except OSError:
            return
