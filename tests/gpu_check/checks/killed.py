"""What is killed lets its GPU go."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.gpu_check.course import PROGRAMS
from tests.gpu_check.host import Host, executor
from tests.gpu_check.table import check
from tests.support.processes import NVCC, Process, wait_for


@check("a kernel that never ends is killed, and the GPU recovers", "a GPU", 90)
def killed_kernel(host: Host) -> str:
    host.course.check("never_ends")
    ended = time.monotonic()
    host.course.check("runs")
    seconds = time.monotonic() - ended
    assert not host.course.quarantines(), host.course.quarantines()[-1]
    return f"the next job had its result {seconds:.1f} s later"


@check("so are those of children that outlive their program", "a GPU", 90)
def killed_children(host: Host) -> str:
    return host.course.check_after("never_ends_in_children")


@check("so is a grid that waits for itself with all memory taken", "a GPU", 90)
def killed_grid(host: Host) -> str:
    return host.course.check_after("stuck_barrier")


@check(
    "after SIGKILL a process with an endless kernel and most of the memory is gone in time",
    "a GPU", 90,
)  # fmt: skip
def reaped(host: Host) -> str:
    host.close_course()  # whose executor would quarantine the GPU for a process of others
    folder = Path(host.keep)
    program = compiled(host, "holds_and_spins", folder)
    before = used_mib(host)
    holder = start(host, program, "it spins")
    taken = used_mib(host)
    killed = time.monotonic()
    os.kill(holder.pid, signal.SIGKILL)
    holder.popen.wait(60)
    gone = time.monotonic() - killed
    wait_for(lambda: used_mib(host) <= before + 64, "its memory is free again", 60)
    back = time.monotonic() - killed
    allowed = executor.SETTLE_SECONDS
    assert back < allowed, (
        f"reaped after {gone:.2f} s, memory back after {back:.2f} s: the gate waits {allowed} s"
    )
    return f"{taken - before} MiB: reaped after {gone:.2f} s, memory back after {back:.2f} s"


def used_mib(host: Host) -> int:
    """The memory in use on the first GPU; of an instance (MIG) nvidia-smi tells none."""
    whole = host.gpus[0].whole or host.gpus[0].uuid
    form = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", whole]
    told = subprocess.run(["nvidia-smi", *form], capture_output=True, text=True, timeout=60).stdout
    return int(told.split()[0]) if told.split()[:1] and told.split()[0].isdigit() else 0


def compiled(host: Host, name: str, folder: Path) -> Path:
    """A program of tests/gpu to be started outside of the sandbox."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    subprocess.run(
        [NVCC, f"-arch={host.architecture}", "-o", program, PROGRAMS / f"{name}.cu"],
        check=True, capture_output=True,
    )  # fmt: skip
    return program


def start(host: Host, program: Path, words: str) -> Process:
    """It, on the first GPU, once it has said so."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": host.gpus[0].uuid}
    holder = Process(program.name, program.with_suffix(".log"), [program], env=environment)
    try:
        holder.wait_until_told(words)
    except BaseException:
        holder.kill()
        raise
    return holder
