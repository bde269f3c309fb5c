"""The faults of the soak: each happens once, and is healed again, while others work."""

import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.faults.executor_rows import KILLER, REVOKE, Supervised
from tests.faults.ground import Crowd, Ground, descendants
from tests.faults.lease_rows import HOUR, Clock
from tests.faults.rows import Disk, can_mount
from tests.faults.server_rows import take_the_database_away
from tests.support.processes import Done, Process, free_port

LEASE = 5
REISSUE = (
    "from accounts.models import Executor; from accounts.operations import issue_token\n"
    "print(issue_token(Executor.objects.get(name='gpu02'), 'test'))"
)


class Field:
    """Two servers and three executors: a calm one of each, and those that faults happen to."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.endings: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> "Field":  # noqa: PYI034  (Self came with Python 3.11)
        ground = self.ground
        self.much = ground.folder / "much"
        self.much.write_bytes(b"x" * 400_000)
        self.clock = Clock(ground.folder, "clock")
        if can_mount():
            self.scratch = Disk(ground.folder / "scratch-gpu02", 64)
            self._stack.callback(self.scratch.close)
        self.calm_server = self._start_calm_server()
        ground.start_server(**self.clock.environment)
        self.disturbed_url = ground.server_url
        self.proxy = self._stack.enter_context(ground.proxy())
        self.calm_executor = ground.start_gpu(0, "--server", self.calm_url, execute=2)
        self.behind = Supervised(ground, 1, through=self.proxy, compile=2)
        self.start_victim()
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.heal()
        self.behind.stop()
        self.victim.stop()
        self._stack.close()

    def _start_calm_server(self) -> Process:
        """On a port of its own, with the same data."""
        ground, port = self.ground, self.ground.port
        ground.port = free_port()
        self.calm_url = f"https://localhost:{ground.port}"
        server = ground.start_server(**self.clock.environment)
        ground.port = port
        return server

    def start_victim(self) -> None:
        scratch = self.ground.folder / "scratch-gpu02"
        self.victim = Supervised(self.ground, 2, scratch=scratch, compile=2)

    def note_submit(self, done: Done) -> None:
        """Keeps account of a submit.py that has ended."""
        _, found, rest = done.err.partition(" as job ")
        if found and "Submitted" in done.err:
            self.ground.acknowledge(str(uuid.uuid4()), int(rest.partition(".")[0]))
        elif done.status == 4:  # the queue may have the job, but could not say so
            self.ground.unsure += 1


def kill_the_server(field: Field) -> None:
    """Row 1: amid a crowd of submits, each of which is sent again with its key."""
    ground = field.ground
    students = ground.random.sample(ground.students[20:], 30)
    submits = [
        partial(ground.submit_direct, student, "echo crowd", str(uuid.uuid4()))
        for student in students
    ]
    crowd = Crowd(*submits)
    time.sleep(ground.random.uniform(0, 0.5))
    ground.kill_server()
    ground.start_server(**field.clock.environment)
    first = crowd.results()
    ground.expect(Crowd(*submits).results() == first, "a retry with the same key made another job")
    for student, job in zip(students, first, strict=True):
        ground.over(student, job, 240)


def kill_the_server_at_a_result(field: Field) -> None:
    """Row 2."""
    held = field.proxy.hold("PUT", "/result$", before=field.ground.random.random() < 0.5)
    held.arrived.wait(5)
    field.ground.kill_server()
    field.proxy.let_go(held)
    field.ground.start_server(**field.clock.environment)


def drop_responses(field: Field) -> None:
    """Row 3."""
    for which in (
        ("POST", "/claims$", 201),
        ("POST", "/heartbeat$", 200),
        ("PUT", "/result$", 200),
    ):
        field.proxy.drop(*which)


def kill_the_executor(field: Field) -> None:
    """Row 4; its supervisor starts it again."""
    before = field.victim.starts
    field.victim.process.send(signal.SIGKILL)
    _until(lambda: field.victim.starts > before, 30)


def partition(field: Field, seconds: float) -> None:
    """Rows 6 and 8."""
    field.ground.random.choice([field.proxy.stall, field.proxy.cut])()
    time.sleep(seconds)
    field.proxy.heal()


def stop_and_continue(field: Field) -> None:
    """Row 9."""
    pids = [field.victim.process.pid, *descendants(field.victim.process.pid)]
    _send(pids, signal.SIGSTOP)
    time.sleep(LEASE + 2)
    _send(pids, signal.SIGCONT)


def database_away(field: Field) -> None:
    """Row 10."""
    take_the_database_away(field.ground, 6)


def server_disk_full(field: Field) -> None:
    """Row 11."""
    _full(field.ground.disks)


def executor_disk_full(field: Field) -> None:
    """Row 12."""
    if can_mount():
        _full([field.scratch])


def clock_is_set(field: Field) -> None:
    """Row 13: an hour on, and back again."""
    for seconds in (HOUR, -HOUR):
        field.clock.set_by(seconds)
        time.sleep(3)


def crowd_of_stubs(field: Field) -> None:
    """Rows 14 and 19: ten more executors, that know the first API alone, for one job each."""

    def work(auth: Path) -> None:
        client = field.ground.client(auth)
        try:
            if claimed := client.claim():
                told = client.finish(claimed, compile_log="", execute_log="by a stub\n")
                field.ground.expect(told.status in (200, 409), f"a stub was told {told}")
        finally:
            client.close()

    Crowd(*(partial(work, auth) for auth in field.ground.gpus[10:20])).results()


def stop_and_start(field: Field) -> None:
    """Row 15."""
    status = field.victim.stop()
    field.ground.expect(status == 0, f"after SIGTERM the executor ended with {status}")
    field.start_victim()


def killer_job(field: Field) -> None:
    """Row 16; never on the executor that is to be left alone."""
    source = f"case $PWD in */gpu00/*) exit 0;; esac\n{KILLER}"
    student = field.ground.random.choice(field.ground.students[20:])
    job = field.ground.submit_direct(student, source)
    field.endings["killer " + field.ground.over(student, job, 240)["state"]] += 1


def revoke(field: Field) -> None:
    """Row 18; staff then issue a new token, and the executor is started with it."""
    field.ground.manage("shell", "-v0", "-c", REVOKE.format(names=["gpu02"]))
    status = field.victim.process.popen.wait(60)
    field.ground.expect(status == 1, f"without a token the executor ended with {status}")
    field.victim.stop()
    token = field.ground.manage("shell", "-v0", "-c", REISSUE).out.strip()
    auth = field.ground.gpus[2]
    auth.write_text(json.dumps({**json.loads(auth.read_text()), "token": token}))
    field.start_victim()


def _full(disks: list[Disk]) -> None:
    for disk in disks:
        disk.fill()
    time.sleep(3)
    for disk in disks:
        disk.free()


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


# Row 7, the late result, comes with 6 and 9; row 17, the cancel, with the users.
DISTURBANCES: dict[int, Callable[[Field], None]] = {
    1: kill_the_server,
    2: kill_the_server_at_a_result,
    3: drop_responses,
    4: kill_the_executor,
    6: partial(partition, seconds=LEASE + 2),
    8: partial(partition, seconds=1.5),
    9: stop_and_continue,
    10: database_away,
    11: server_disk_full,
    12: executor_disk_full,
    13: clock_is_set,
    14: crowd_of_stubs,
    15: stop_and_start,
    16: killer_job,
    18: revoke,
}
