"""The gate between two jobs."""

import statistics
import time
from pathlib import Path
from typing import Any

from tests.gpu_check.checks.killed import compiled, start
from tests.gpu_check.host import Host, executor
from tests.gpu_check.table import check
from tests.support.processes import Process, wait_for


@check(
    "a process of others on the GPU quarantines it, until it goes",
    "a GPU",
    120,
)
def gate(host: Host) -> str:
    course = host.course
    before = len(course.quarantines())
    again = course.executor.told().count("works again")
    holder = start_holder(host)
    try:
        course.executor.wait_until_told("is quarantined: processes are on it", before + 1, 60)
    finally:
        holder.kill()
    course.executor.wait_until_told("works again", again + 1, 60)
    course.check("runs")
    return course.quarantines()[-1].partition("quarantined: ")[2]


def start_holder(host: Host) -> Process:
    """holds_the_gpu.cu, outside of the sandbox."""
    program = compiled(host, "holds_the_gpu", host.course.world.folder)
    return start(host, program, "it holds the GPU")


@check("what the gate costs between two jobs", "a GPU")
def gate_costs(host: Host) -> str:
    watched = new_gate(host)
    took = []
    for _ in range(10):
        began = time.perf_counter()
        watched.look()
        took.append(time.perf_counter() - began)
    advice = "" if max(took) < 1 else "; turn persistence mode on: nvidia-smi -pm 1"
    return f"{statistics.median(took) * 1e3:.0f} ms, at most {max(took) * 1e3:.0f} ms{advice}"


def new_gate(host: Host) -> Any:
    """The executor's own, on the first GPU, with the kernel's log if it can be read."""
    try:
        log = executor.KernelLog(Path("/dev/kmsg"))
    except OSError:
        log = None
    return executor.Gate(host.gpus[0], log)


@check("the executor stops when told, and leaves nothing on the GPU", "a GPU")
def stops(host: Host) -> str:
    status = host.course.executor.stop()
    assert status == 0, f"exit status {status}"
    host.close_course()
    watched: Any = executor.Gate(host.gpus[0], None)
    wait_for(lambda: watched.look() == "", "nothing is left on it", 20)
    return "exit status 0"
