"""Rows 6 to 9 and 13: networks, stopped processes and clocks against the lease."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.ground import Ground, Program, descendants, is_alive, together
from tests.faults.proxy import Proxy
from tests.faults.rows import row
from tests.support.processes import Process, wait_for

ROUND = 4  # jobs in one executor, and so tries of one fault
LEASE, SWEEP = 3, 1
LEASES = {"TELERUN_LEASE_SECONDS": LEASE, "TELERUN_SWEEP_SECONDS": SWEEP}
NEW_ATTEMPT_WINS = [("gpu00", "expired"), ("gpu01", "finished")]


@row(6, "partition longer than the lease, then healed", tries=12, few=4, **LEASES)
def long_partition(ground: Ground, tries: int) -> None:
    ground.start_server()
    with ground.proxy() as proxy:
        for start in range(0, tries, ROUND):
            programs = _programs(ground, "long", start, tries)
            executor = ground.start_gpu(0, through=proxy, compile=ROUND, execute=ROUND)
            jobs = _run_all(ground, programs)
            proxy.stall() if start % (2 * ROUND) == 0 else proxy.cut()
            half = programs[: len(programs) // 2]
            for program in half:
                program.let_go()
            for program in half:
                wait_for(lambda: not is_alive(program.runs()[0][1]), "it ends")  # noqa: B023
            _another_takes_them(ground, jobs)
            healed = time.monotonic()
            proxy.heal()
            wait_for(partial(_refused, proxy, half, healed), "the old results get 409", 60)
            executor.wait_until_told("took the job away")
            for program in programs:
                program.let_go()
            _goes_on(ground, executor)


def _refused(proxy: Proxy, results: list[Program], since: float) -> bool:
    told = [e for e in list(proxy.exchanges) if e.method == "PUT" and e.at >= since]
    return len(told) >= len(results) and all(e.status == 409 for e in told[: len(results)])


@row(9, "SIGSTOP the executor past its lease, SIGCONT", tries=12, few=4, **LEASES)
def stopped_and_continued(ground: Ground, tries: int) -> None:
    ground.start_server()
    for start in range(0, tries, ROUND):
        programs = _programs(ground, "stopped", start, tries)
        executor = ground.start_gpu(0, compile=ROUND, execute=ROUND)
        jobs = _run_all(ground, programs)
        pids = [executor.pid, *descendants(executor.pid)]
        _send_all(pids, signal.SIGSTOP)
        _another_takes_them(ground, jobs)
        for program in programs[: len(programs) // 2]:
            program.let_go()
        _send_all(pids, signal.SIGCONT)
        for program in programs:
            wait_for(lambda: not is_alive(program.runs()[0][1]), "the old run ends")  # noqa: B023
        for student, job in zip(ground.students, jobs, strict=False):
            _expect_attempts(ground, student, job, NEW_ATTEMPT_WINS)
        _goes_on(ground, executor)


def _programs(ground: Ground, name: str, start: int, tries: int) -> list[Program]:
    return [ground.program(f"{name}{n}") for n in range(start, min(start + ROUND, tries))]


def _run_all(ground: Ground, programs: list[Program]) -> list[int]:
    """The jobs, once all run on gpu00; elsewhere they would end at once."""
    jobs = [
        ground.submit_direct(student, program.source("gpu00"))
        for student, program in zip(ground.students, programs, strict=False)
    ]
    for program in programs:
        program.wait_until_it_runs()
    return jobs


def _another_takes_them(ground: Ground, jobs: list[int]) -> None:
    other = ground.start_gpu(1, compile=2, execute=2)
    for student, job in zip(ground.students, jobs, strict=False):
        ground.over(student, job)
        _expect_attempts(ground, student, job, NEW_ATTEMPT_WINS)
    ground.expect(other.stop() == 0, "the other executor did not stop well")


def _expect_attempts(
    ground: Ground, student: Path, job: int, expected: list[tuple[str, str]]
) -> None:
    seen = ground.job(student, job)
    attempts = [(attempt["executor"], attempt["ending"]) for attempt in seen["attempts"]]
    ground.expect(attempts == expected, f"job {job}: {attempts}")
    if seen["result"]:
        winner = expected[-1][0]
        log = seen["result"]["execute_log"]
        ground.expect(log == f"ran on {winner}\n", f"job {job} says {log!r}, not {winner}")


def _goes_on(ground: Ground, executor: Process) -> None:
    """It runs the next job, and stops well."""
    job = ground.submit_direct(ground.students[50], ground.program("next").source("nowhere"))
    ground.over(ground.students[50], job)
    _expect_attempts(ground, ground.students[50], job, [("gpu00", "finished")])
    ground.expect(executor.stop() == 0, f"{executor.name} did not stop well")


def _send_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a shell's child comes and goes
            os.kill(pid, number)


# --- 7: late against the sweeper ---------------------------------------------------------


@row(
    7, "a late result against the sweeper, in both orders", tries=120, few=30,
    **LEASES,
)  # fmt: skip
def late_result(ground: Ground, tries: int) -> None:
    """Some are sent when the lease has just run out, some at random, some once it was taken."""
    ground.start_server()
    orders: set[int] = set()
    for start in range(0, tries, 15):
        count = min(15, tries - start)
        jobs = [ground.submit_direct(student, "source") for student in ground.students[:count]]
        gpu = ground.client(ground.gpus[0])
        claims = [claimed for _ in jobs if (claimed := gpu.claim())]
        # On a slow machine the first may have run out by now; they are not what this is about.
        claims = [claimed for claimed in claims if gpu.beat(claimed).status == 200]
        owner = dict(zip(jobs, ground.students, strict=False))
        told = together(*(partial(_report_late, ground, c, n, owner) for n, c in enumerate(claims)))
        for claimed, status in zip(claims, told, strict=True):
            orders.add(status)
            job = claimed["job"]["id"]
            seen = ground.job(owner[job], job)
            expected = {200: ("finished", "finished"), 409: ("queued", "expired")}[status]
            found = seen["state"], seen["attempts"][-1]["ending"]
            ground.expect(found == expected, f"job {job}: {status}, but {found}")
        _drain(ground)
    ground.expect(orders == {200, 409}, f"both orders were to be seen, not {orders}")


def _report_late(
    ground: Ground, claimed: dict[str, Any], number: int, owner: dict[int, Path]
) -> int:
    gpu, job = ground.client(ground.gpus[0]), claimed["job"]["id"]
    if number % 3 == 2:
        wait_for(lambda: ground.job(owner[job], job)["state"] == "queued", "it is taken back")
    else:
        gpu.beat(claimed)
        time.sleep(LEASE + (number % 3) * ground.random.uniform(0.0, 1.2 * SWEEP))
    return gpu.finish(claimed).status


def _drain(ground: Ground) -> None:
    """Runs what waits, so that the next round begins with an empty queue."""
    gpu = ground.client(ground.gpus[1])
    while claimed := gpu.claim():
        gpu.finish(claimed)


# --- 8: shorter than the lease -----------------------------------------------------------


@row(
    8, "partition shorter than the lease", tries=16, few=4,
    TELERUN_LEASE_SECONDS=6, TELERUN_SWEEP_SECONDS=1,
)  # fmt: skip
def short_partition(ground: Ground, tries: int) -> None:
    ground.start_server()
    with ground.proxy() as proxy:
        executor = ground.start_gpu(0, through=proxy, compile=ROUND, execute=ROUND)
        for start in range(0, tries, ROUND):
            programs = _programs(ground, "short", start, tries)
            jobs = _run_all(ground, programs)
            seconds = ground.random.uniform(1.0, 3.0)
            proxy.stall() if start % (2 * ROUND) == 0 else proxy.cut()
            programs[0].let_go()  # its result is sent into the partition
            time.sleep(seconds)
            proxy.heal()
            for program in programs:
                program.let_go()
            for student, job, program in zip(ground.students, jobs, programs, strict=False):
                ground.over(student, job)
                _expect_attempts(ground, student, job, [("gpu00", "finished")])
                ground.expect(len(program.runs()) == 1, f"it ran {len(program.runs())} times")
        executor.stop()


# --- 13: clocks --------------------------------------------------------------------------

HOUR = 3600


@row(13, "clocks ±1 h, server and executor apart", tries=4, few=2, needs=("g++",), **LEASES)
def clocks(ground: Ground, tries: int) -> None:
    ground.start_server()
    for number in range(tries):
        sign = 1 if number % 2 == 0 else -1
        _executor_apart(ground, number, sign * HOUR)
    ground.server.stop()
    clock = Clock(ground.folder, "clock")
    for number in range(tries):
        sign = 1 if number % 2 == 0 else -1
        ground.start_server(**clock.environment)
        _server_jumps(ground, clock, 100 + number, sign * HOUR)


class Clock:
    """A wall clock that can be set while programs run by it (clock.cpp)."""

    def __init__(self, folder: Path, name: str) -> None:
        library, self._path = folder / "clock.so", folder / name
        if not library.exists():
            source = Path(__file__).with_name("clock.cpp")
            argv = ["g++", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
            subprocess.run(argv, check=True)
        self.environment = {"LD_PRELOAD": str(library), "SET_CLOCK": str(self._path)}
        self._wrong_by = 0
        self.set_by(0)

    def set_by(self, seconds: int) -> None:
        """Sets it forward, or back."""
        self._wrong_by += seconds
        draft = self._path.with_suffix(".new")
        draft.write_text(f"{self._wrong_by}\n")
        draft.rename(self._path)


def _executor_apart(ground: Ground, number: int, seconds: int) -> None:
    """A job longer than the lease runs once, whatever the executor's clock says."""
    clock = Clock(ground.folder, f"clock{number}")
    clock.set_by(seconds)
    program = ground.program(f"apart{number}")
    executor = ground.start_gpu(0, **clock.environment)
    jobs = _run_all(ground, [program])
    told = time.strftime("%Y-%m-%d %H:", time.localtime(time.time() + seconds))
    ground.expect(told in executor.told(), "the executor's clock was not apart")
    clock.set_by(-2 * seconds)  # and it is set while the job runs
    _let_the_lease_pass()
    program.let_go()
    ground.over(ground.students[0], jobs[0])
    _expect_attempts(ground, ground.students[0], jobs[0], [("gpu00", "finished")])
    ground.expect(executor.stop() == 0, "the executor did not stop well")


def _server_jumps(ground: Ground, clock: Clock, number: int, seconds: int) -> None:
    """The jobs of a living executor stay; those of a dead one are taken back in time."""
    programs = [ground.program(f"jump{number}")]
    executor = ground.start_gpu(0)
    jobs = _run_all(ground, programs)
    told = ground.server.told().count("The clock was set")
    clock.set_by(seconds)
    _let_the_lease_pass()
    ground.server.wait_until_told("The clock was set", told + 1)
    seen = ground.job(ground.students[0], jobs[0])
    ground.expect(
        len(seen["attempts"]) == 1 and seen["state"] == "running", f"after the jump: {seen}"
    )
    executor.kill()
    clock.set_by(seconds)
    bound = time.monotonic() + LEASE + 2 * SWEEP + 2
    _wait_until_queued(lambda: ground.job(ground.students[0], jobs[0]))
    ground.expect(time.monotonic() < bound, "a dead executor's job was taken back late")
    programs[0].let_go()
    again = ground.start_gpu(0)
    ground.over(ground.students[0], jobs[0])
    again.stop()
    ground.server.stop()
    clock.set_by(-2 * seconds)


def _wait_until_queued(look: Callable[[], dict[str, Any]]) -> None:
    wait_for(lambda: look()["state"] == "queued", "the job is taken back", 60)


def _let_the_lease_pass() -> None:
    until = time.monotonic() + LEASE + 2 * SWEEP
    wait_for(lambda: time.monotonic() > until, "a lease has passed")
