"""Row H: 300 students submit within the same ten seconds, against four executors.

The executors are real, with a stub compiler; ten students are real `submit.py` processes, the rest
are emulated over kept-alive TLS. Every other student has two jobs. The order of service is read
from the audit log. When its program was first expected to run is held against when it did.
"""

import asyncio
import random
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.load import Answer, Connection, Student
from bench.measure import median, percentile
from bench.place import Plan, close_all, connections, queue, say
from bench.report import Table, none
from bench.stub import compiler

if TYPE_CHECKING:
    from tests.support.processes import World

WORK_SECONDS = 0.2  # to compile, and to run
EXECUTORS = 4
PATIENCE_SECONDS = 240


class Watchful(Student):
    """A student who counts the answers that do not say what the job is waiting for."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.without_status = 0
        self.answers = 0
        self.expected: tuple[float, float] | None = None  # between when and when: the first told

    def _note(self, answer: Answer) -> None:
        super()._note(answer)
        self.answers += 1
        told = {"queued": self.job["queue_position"], "running": self.job["phase"]}
        if not told.get(self.job["state"], "over"):
            self.without_status += 1
        if self.expected is None and (expected := self.job["expected_start"]):
            now = time.time()
            self.expected = now + expected["from_seconds"], now + expected["to_seconds"]
            self.asked_at = now


async def attend(student: Watchful, arrives: float) -> dict[str, Any]:
    """Arrives, submits, waits; the finished job."""
    await asyncio.sleep(arrives)
    await student.submit()
    await student.wait_until_over()
    return student.job


async def lesson(
    students: list[Watchful], arrivals: list[float], real: Any
) -> tuple[list[Any], list[Any]]:
    """Finished jobs or errors of the emulated, exit statuses of the real."""
    lives = [attend(s, a) for s, a in zip(students, arrivals, strict=True)]
    both = asyncio.gather(asyncio.gather(*lives, return_exceptions=True), asyncio.to_thread(real))
    jobs, statuses = await asyncio.wait_for(both, PATIENCE_SECONDS)
    close_all(students)
    return jobs, statuses


def unfair(lines: list[dict[str, Any]]) -> int:
    """How often the audit log has a user served again before a user who waited was served once."""
    waiting: dict[str, set[int]] = {}
    owner: dict[int, str] = {}
    served: set[str] = set()
    count = 0
    for line in lines:
        job = line["job_id"]
        if line["action"] == "submitted":
            owner[job] = line["username"]
            waiting.setdefault(line["username"], set()).add(job)
        elif line["action"] == "claimed":
            user = owner[job]
            waiting[user].discard(job)
            never = [u for u, jobs in waiting.items() if jobs and u not in served and u != user]
            count += bool(user in served and never)
            served.add(user)
    return count


def seconds_waited(job: dict[str, Any]) -> float:
    submitted, started = (
        datetime.fromisoformat(job[name].replace("Z", "+00:00"))
        for name in ("submitted_at", "started_at")
    )
    return (started - submitted).total_seconds()


class Expectation(NamedTuple):
    """The first that was told to a student, against what came, in seconds."""

    within: bool
    off: float  # from the middle of the range to the start
    waited: float  # from then to the start


def expectation(student: Watchful, job: dict[str, Any]) -> Expectation | None:
    """None if nothing was expected. Programs begin when they have ended but for their run."""
    if student.expected is None:
        return None
    ended = datetime.fromisoformat(job["finished_at"].replace("Z", "+00:00")).timestamp()
    began = ended - job["result"]["execute_seconds"]
    first, last = student.expected
    waited = began - student.asked_at
    return Expectation(first <= began <= last, abs((first + last) / 2 - began), waited)


def note_expectations(table: Table, told: list[Expectation | None]) -> None:
    """How far off it was."""
    known = [one for one in told if one is not None]
    share = 100 * len(known) / len(told)
    table.add("H", "students who were told when it is expected to run", share, "%")
    if known:
        within = 100 * sum(one.within for one in known) / len(known)
        table.add("H", "expected to run: it did so within the first range told", within, "%")
        off = median([one.off for one in known])
        table.add("H", "expected to run: the range's middle was off by (median)", off, "s")
        waits = [one for one in known if one.waited > 1]
        if waits:
            part = median([100 * one.off / one.waited for one in waits])
            what = "expected to run: off by (median), of the wait that was left"
            table.add("H", what, part, "%")


def measure(plan: Plan, table: Table) -> None:
    people = plan.size(300, 20)
    for _ in range(min(plan.rounds, 2)):
        with queue(TELERUN_MAX_QUEUED_PER_USER=2) as world:
            emulated, jobs, statuses = one_lesson(world, plan, people)
            again = unfair(world.audit_lines())
        wrong = [j for j in jobs if not isinstance(j, dict) or j["outcome"] != "succeeded"]
        wrong += [s for s in statuses if s != 0]
        for one in wrong[:3]:
            say(f"  error: {one!r}")
        troubles = len(wrong) + sum(s.connection.refused for s in emulated)
        silent = sum(s.without_status for s in emulated)
        table.add("H", "users served again before one who waited was served", again, "", none())
        table.add("H", "answers without a status", silent, "", none())
        table.add("H", "errors, answers of 503, jobs without success", troubles, "", none())
        answers = sum(s.answers for s in emulated) / len(emulated)
        table.add("H", "answers to a student for one job", answers)
        both = [(s, j) for s, j in zip(emulated, jobs, strict=True) if isinstance(j, dict)]
        note_expectations(table, [expectation(s, j) for s, j in both if j["result"]])
        waited = [seconds_waited(job) for job in jobs if isinstance(job, dict)]
        for percent in (50, 90, 99):
            what = f"submitted to claimed: p{percent}"
            table.add("H", what, percentile(waited, percent), "s")
        table.add(
            "H", "submitted to claimed: longest", max(waited), "s",
            floor=(len(jobs) + len(statuses)) * WORK_SECONDS / EXECUTORS,
            than="the executors' work ÷ their number",
        )  # fmt: skip


def one_lesson(world: "World", plan: Plan, people: int) -> tuple[list[Watchful], Any, Any]:
    """The emulated students, their jobs, and the exit statuses of the real ones."""
    chance = random.Random(1)
    real_count, within = plan.size(10, 2), plan.size(10, 1)
    users = world.users(people)
    world.start_server()
    stub = compiler(world.folder, WORK_SECONDS)
    for number in range(EXECUTORS):
        world.start_executor(world.executor(f"gpu{number}"), nvcc=stub)
    emulated_users = users[real_count:]
    auths = emulated_users + emulated_users[::2]  # every other has two jobs
    emulated = [Watchful(c) for c in connections(world, auths)]
    arrivals = [chance.uniform(0, within) for _ in emulated]

    def real() -> list[int]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        file = world.source(Student.SOURCE)
        running = [world.start_submit(user, file) for user in users[:real_count]]
        return [p.popen.wait(max(1, deadline - time.monotonic())) for p in running]

    jobs, statuses = asyncio.run(lesson(emulated, arrivals, real))
    return emulated, jobs, statuses
