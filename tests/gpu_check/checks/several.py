"""Hosts with several GPUs, or with one that is split."""

import time
from typing import Any

from tests.gpu_check.course import PROGRAMS
from tests.gpu_check.host import TIGHT, Host
from tests.gpu_check.table import check
from tests.support.processes import Process, side_by_side


@check("the other GPUs are invisible", "two GPUs", in_sandbox=True)
def other_gpus(host: Host) -> str:
    course = host.new_course(len(host.gpus), **TIGHT)
    return f"of {len(host.gpus)} GPUs: {course.check('lists_devices')}"


@check(
    "an executor with all GPUs starts, and every GPU works at the same time as the others",
    "two GPUs", 120,
)  # fmt: skip
def all_at_once(host: Host) -> str:
    count = len(host.gpus)
    began = time.monotonic()
    course = host.new_course(count, **TIGHT)
    jobs = course.run_all([PROGRAMS / "runs.cu"] * (4 * count))
    used = {job["result"]["details"]["gpu"]["uuid"] for job in jobs}
    assert all(job["outcome"] == "succeeded" for job in jobs), [job["outcome"] for job in jobs]
    assert len(used) > 1, f"{4 * count} jobs ran on {len(used)} GPU"
    seconds = time.monotonic() - began
    return f"{4 * count} jobs on {len(used)} GPUs, {seconds:.1f} s from the start of the executor"


@check(
    "two executors that start at the same time have a GPU each",
    "two GPUs",
    120,
)
def two_starts(host: Host) -> str:
    first, second = host.gpus[:2]
    course = host.new_course(1, CUDA_VISIBLE_DEVICES=first.uuid, **TIGHT)
    course.executor.stop()
    world, began = course.world, time.monotonic()
    other = world.executor("other")

    def start(auth: Any, uuid: str) -> Any:
        return world.start_executor(
            auth, execute=1, gpus=True, CUDA_VISIBLE_DEVICES=uuid,
            **{**host.options, "PATH": host.path()},
        )  # fmt: skip

    started = side_by_side(
        lambda: start(course.auth, first.uuid), lambda: start(other, second.uuid)
    )
    for one in started:
        assert isinstance(one, Process), one
    jobs = course.run_all([PROGRAMS / "runs.cu"] * 6)
    assert all(job["outcome"] == "succeeded" for job in jobs), [job["outcome"] for job in jobs]
    return f"6 jobs, {time.monotonic() - began:.1f} s from the start of both"


@check("an instance of a split GPU is a GPU of its own", "a split GPU (MIG)", in_sandbox=True)
def instances(host: Host) -> str:
    count = len(host.gpus)
    course = host.new_course(count, **TIGHT)
    return f"of {count} instances: {course.check('lists_devices')}"
