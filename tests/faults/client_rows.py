"""Row 20: clients that mean harm or are broken, while others want to be served."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults.ground import Ground, descendants, together
from tests.faults.hostile import CROWDS, SHAPES, Hostile, crowd, pipelined
from tests.faults.rows import row

# A process may have this much at most, MiB. It begins with 70; what grows it most is JSON of
# millions of small arrays, which takes 20 times its length in memory for a moment.
MOST_MIB = 700


@row(
    20, "slow, truncated, huge, compressed and malformed requests", tries=8, few=1,
    TELERUN_SILENCE_SECONDS=3,
)  # fmt: skip
def hostile_clients(ground: Ground, tries: int) -> None:
    ground.start_server()
    hostile = Hostile(ground, ground.students[0])
    for number in range(tries):
        _malformed(ground, hostile)
        if number == 0:  # what large requests leave unused is used again, not given back
            _many_at_once(ground, hostile)
            after_the_first = _memory(ground, "VmRSS")
        for kind in CROWDS:
            _beside_a_crowd(ground, hostile, kind, 100 if tries == 1 else 400)
    _many_at_once(ground, hostile)
    ground.expect(pipelined(hostile) == [200] * 20, "pipelined requests are not answered in order")
    peak = _memory(ground, "VmHWM")
    ground.expect(peak < MOST_MIB, f"a server process had {peak} MiB")
    left = _memory(ground, "VmRSS")
    ground.expect(left < after_the_first + 150, f"memory grew from {after_the_first} to {left} MiB")
    ground.expect("WORKER TIMEOUT" not in ground.server.told(), "a server process was hung")


def _malformed(ground: Ground, hostile: Hostile) -> None:
    for name, (send, right) in SHAPES.items():
        told = send(hostile)
        ground.expect(set(told or [0]) <= right, f"{name}: answered {told}, not {sorted(right)}")
    jobs = ground.client(ground.students[0]).persist("GET", "/jobs").body
    ground.expect(jobs["count"] == 0, f"something malformed became a job: {jobs}")


def _beside_a_crowd(ground: Ground, hostile: Hostile, kind: str, count: int) -> None:
    """A whole life of a job goes on while all of them hold on to their connections."""
    with crowd(hostile, kind, count):
        began = time.monotonic()
        _live(ground, ground.students[1], ground.gpus[0])
        seconds = time.monotonic() - began
    # It takes a tenth of a second, and took minutes where one of them could hold up the server.
    ground.expect(seconds < 30, f"beside {count} that {kind}, a job took {seconds:.0f} s")


def _live(ground: Ground, student: Path, gpu_auth: Path) -> None:
    job = ground.submit_direct(student, "source")
    gpu = ground.client(gpu_auth)
    claimed = gpu.claim()
    assert claimed
    told = gpu.finish(claimed)
    ground.expect(told.status == 200, f"an honest result was answered {told}")
    ground.expect(ground.job(student, job)["state"] == "finished", f"job {job} is not finished")


def _many_at_once(ground: Ground, hostile: Hostile) -> None:
    """The largest shapes, several at a time, with an honest client among them."""
    names = ("100 MB, declared", "two million small arrays", "a gzip bomb", "100 MB in chunks")
    sends: list[Callable[[], object]] = [partial(SHAPES[n][0], hostile) for n in names * 2]
    together(*sends, partial(_live, ground, ground.students[2], ground.gpus[1]))


def _memory(ground: Ground, what: str) -> int:
    """MiB of the largest of the server's processes: VmRSS now, VmHWM at its most."""
    return max(
        int(line.split()[1]) // 1024
        for pid in (ground.server.pid, *descendants(ground.server.pid))
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(f"{what}:")
    )
