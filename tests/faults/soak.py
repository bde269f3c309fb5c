"""Row 24: everybody works while all faults come at random, for as long as one likes.

Two servers share one queue. One server and one executor are never killed: theirs are the
numbers that must stay flat, in between faults of the database, the disk and the clock.
"""

import os
import random
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.faults import rows
from tests.faults.disturbances import DISTURBANCES, Field
from tests.faults.ground import Ground, Template, descendants

LEASES = {"TELERUN_LEASE_SECONDS": 5, "TELERUN_SWEEP_SECONDS": 1}
CHECK_SECONDS, SAMPLE_SECONDS = 60, 5
KEPT_SECONDS = 90  # jobs that were over before that are pruned, as an operator would
WARM_UP = 0.2  # of the samples, which are left out

PRUNE = (
    "from datetime import timedelta; from django.utils import timezone\n"
    "from jobs.retention import prune\n"
    f"print(prune(timezone.now() - timedelta(seconds={KEPT_SECONDS}), 'test'))"
)


class Sample(NamedTuple):
    """What the undisturbed server, the undisturbed executor and the disks hold."""

    server_mib: float
    server_descriptors: float
    executor_mib: float
    executor_descriptors: float
    scratch_mib: float
    journal_mib: float


# How much the last third may be above the first: a share of it, and an amount.
ALLOWED = Sample(0.15, 0.15, 0.10, 0.10, 0.0, 0.0)
ALSO = Sample(16, 20, 4, 4, 8, 16)


def run(template: Template, minutes: float, seed: str) -> rows.Outcome:
    """The soak, with the reckoning at the end."""
    told = f"a soak with 1-18 at random for {minutes:g} minutes"
    disk = 512 if rows.can_mount() else 0
    done: Counter[int] = Counter()
    soak = partial(_soak, minutes=minutes, done=done)
    row = rows.Row(24, told, soak, 0, 0, (), True, disk, LEASES)
    return rows.play(row, template, 0, seed)._replace(tries=done.total())


def _soak(ground: Ground, _tries: int, minutes: float, done: Counter[int]) -> None:
    over = threading.Event()
    with Field(ground) as field:
        users = [
            threading.Thread(target=_use, args=(field, number, over, act), name=f"user-{number}")
            for number, act in enumerate([*[_with_submit_py] * 5, *[_directly] * 3])
        ]
        samples: list[Sample] = []
        sampler = threading.Thread(target=_sample, args=(field, over, samples), name="sampler")
        for thread in (*users, sampler):
            thread.start()
        try:
            _disturb(field, time.monotonic() + minutes * 60, done)
        finally:
            over.set()
            for thread in (*users, sampler):
                thread.join(180)
    print(f"faults: {', '.join(f'{n} x row {row}' for row, n in sorted(done.items()))}", flush=True)
    print(f"jobs: {dict(field.endings)}", flush=True)
    _expect_flat(ground, samples)


def _disturb(field: Field, until: float, done: Counter[int]) -> None:
    """All faults in an order of chance, and again."""
    check_at = time.monotonic() + CHECK_SECONDS
    waiting: list[int] = []
    while time.monotonic() < until:
        waiting = waiting or field.ground.random.sample(sorted(DISTURBANCES), len(DISTURBANCES))
        number = waiting.pop()
        DISTURBANCES[number](field)
        done[number] += 1
        time.sleep(field.ground.random.uniform(0.2, 2.0))
        if time.monotonic() > check_at:
            _check(field.ground)
            check_at = time.monotonic() + CHECK_SECONDS


def _check(ground: Ground) -> None:
    """The invariants, while everybody works."""
    told = ground.manage("telerun_db", "check", check=False)
    ground.expect(told.status == 0, f"telerun_db check: {told.err.strip()[-1000:]}")
    ground.manage("shell", "-v0", "-c", PRUNE)


# --- Users -------------------------------------------------------------------------------


def _use(field: Field, number: int, over: threading.Event, act: Callable[..., None]) -> None:
    randomness = random.Random(number)
    while not over.is_set():
        try:
            act(field, field.ground.students[number], randomness)
        except Exception as error:
            field.ground.expect(False, f"user {number}: {type(error).__name__}: {error}")


def _with_submit_py(field: Field, student: Path, randomness: random.Random) -> None:
    source, words, right = _some_program(field, randomness)
    file = field.ground.source(source, f"{student.stem}.cu")
    server = randomness.choice([field.disturbed_url, field.calm_url])
    try:
        done = field.ground.submit(student, file, "--server", server, timeout=300)
    except subprocess.TimeoutExpired:
        field.ground.expect(False, "submit.py had no end within 300 s")
        return
    field.note_submit(done)
    field.endings[f"submit.py {done.status}"] += 1
    as_it_should = done.status == right and (words in done.out or "by a stub" in done.out)
    # The system may fail a job that lost three hosts, and the queue may be away for long.
    by_a_stub = done.status == 0 and "by a stub" in done.out
    field.ground.expect(
        as_it_should or by_a_stub or done.status in (3, 4, 5),
        f"submit.py ended with {done.status}, not {right}: {done.out[-300:]} {done.err[-300:]}",
    )


def _some_program(field: Field, randomness: random.Random) -> tuple[str, str, int]:
    """A program, what it says, and the exit status of submit.py."""
    token = f"token{randomness.randrange(10**9)}"
    programs = [
        (f"echo {token}", token, 0),
        (f"sleep 1; echo {token}", token, 0),
        (f"sleep 3; echo {token}", token, 0),
        (f"echo {token}; exit 3", token, 1),
        (f"cat {field.much}; echo {token}", token, 0),
        (f"setsid sleep 5 & echo {token}", token, 0),
    ]
    return randomness.choice(programs)


def _directly(field: Field, student: Path, randomness: random.Random) -> None:
    """Submits, waits a little, and often cancels."""
    ground = field.ground
    job = ground.submit_direct(student, f"sleep {randomness.choice([0, 1, 2])}; echo done")
    time.sleep(randomness.uniform(0, 1.5))
    if randomness.random() < 0.5:
        with closing(ground.client(student)) as client:
            told = client.persist("POST", f"/jobs/{job}/cancel")
        ground.expect(told.status in (200, 409), f"cancel of job {job}: {told}")
    field.endings[ground.over(student, job, 240)["state"]] += 1


# --- Numbers -----------------------------------------------------------------------------


def _sample(field: Field, over: threading.Event, samples: list[Sample]) -> None:
    server = [field.calm_server.pid, *descendants(field.calm_server.pid)]
    while not over.wait(SAMPLE_SECONDS):
        executor = field.calm_executor.pid
        samples.append(
            Sample(
                sum(map(_mib, server)),
                sum(map(_descriptors, server)),
                _mib(executor),
                _descriptors(executor),
                _size(field.ground.folder / "scratch"),
                _size(field.ground.data / "db.sqlite3-wal"),
            )
        )


def _mib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4 / 1024
    except OSError:
        return 0.0


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _size(folder: Path) -> float:
    """MiB in a file, or in a folder that others change meanwhile."""
    paths = [folder, *(Path(where, name) for where, _, names in os.walk(folder) for name in names)]
    return sum(map(_bytes, paths)) / (1 << 20)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.name != "filling" else 0
    except OSError:  # it has gone meanwhile
        return 0


def _expect_flat(ground: Ground, samples: list[Sample]) -> None:
    """The medians of the first and the last third, after the warm-up."""
    warm = samples[int(len(samples) * WARM_UP) :]
    third = max(1, len(warm) // 3)
    for name in Sample._fields:
        first = statistics.median(getattr(sample, name) for sample in warm[:third])
        last = statistics.median(getattr(sample, name) for sample in warm[-third:])
        print(f"{name}: first third {first:.1f}, last third {last:.1f}", flush=True)
        most = first * (1 + getattr(ALLOWED, name)) + getattr(ALSO, name)
        ground.expect(last <= most, f"{name} grew from {first:.1f} to {last:.1f}")
