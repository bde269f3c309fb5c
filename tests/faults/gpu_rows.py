"""Row 23: GPUs that fail. They are stubs, as are the compiler and what cannot be killed."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults.ground import Ground, Program
from tests.faults.rows import row
from tests.support.gpus import UNKILLABLE, StubGpus, kill_if_left, stub_executor
from tests.support.processes import Process, wait_for

LEASES = {"TELERUN_LEASE_SECONDS": 3, "TELERUN_SWEEP_SECONDS": 1}


class Fault(NamedTuple):
    """How a GPU fails and is mended, and what is said of it then."""

    fail: Callable[[StubGpus, int, Path], None]
    mend: Callable[[StubGpus, int, Path], None]
    words: str


def _nothing(stub: StubGpus, gpu: int, pid_file: Path) -> None:
    """The program did it, or it mends itself."""


def _kill_at_last(stub: StubGpus, gpu: int, pid_file: Path) -> None:
    kill_if_left(pid_file)


FAULTS = (
    Fault(
        lambda stub, gpu, _: stub.change(gpu, missing=True),
        lambda stub, gpu, _: stub.change(gpu, missing=False),
        "nvidia-smi does not find it",
    ),
    Fault(
        lambda stub, gpu, _: stub.xid(gpu, 79, "GPU has fallen off the bus."),
        _nothing,
        "Xid 79 (GPU has fallen off the bus.)",
    ),
    Fault(_nothing, _kill_at_last, "cannot be killed"),
)


@row(23, "a GPU goes missing, a reset-class Xid, an unkillable child (faked)",
     tries=9, few=3, **LEASES)  # fmt: skip
def gpu_fails(ground: Ground, tries: int) -> None:
    ground.start_server()
    stub = StubGpus(ground.folder, 2)
    host = ground.start_gpu(
        0, "--kernel-log", stub.kernel_log,
        compile=2, execute=2, script=stub_executor(ground.folder), **stub.options,
    )  # fmt: skip
    for number in range(tries):
        _one_gpu_fails(ground, stub, host, number)
    ground.expect(host.stop() == 0, "the executor did not stop well")


def _one_gpu_fails(ground: Ground, stub: StubGpus, host: Process, number: int) -> None:
    """Two jobs run, and the GPU of one fails. It is run again on the other, which never stops."""
    fault = FAULTS[number % len(FAULTS)]
    pid_file = ground.folder / f"unkillable{number}"
    ground.afterwards(lambda: kill_if_left(pid_file))
    hit, spared = ground.program(f"hit{number}"), ground.program(f"spared{number}")
    leaves = f"[ -e {pid_file} ] || {{\n{UNKILLABLE.format(pid_file=pid_file)}}}\n"
    first = _submit(ground, 0, hit, leaves if fault.fail is _nothing else "")
    second = _submit(ground, 1, spared, "")
    failed = next(n for n, gpu in enumerate(stub.gpus) if gpu["uuid"] == _gpus(hit)[0])
    fault.fail(stub, failed, pid_file)
    hit.let_go()
    host.wait_until_told("is quarantined", number + 1)
    said = [line for line in host.told().splitlines() if "is quarantined" in line]
    ground.expect(fault.words in said[-1], f"the log does not say why: {said[-1]}")
    spared.let_go()
    _check_ended(ground, 1, second, ["finished"])
    _check_ended(ground, 0, first, ["released", "finished"])
    if fault.mend is not _nothing:  # one that mends itself may be back already
        ground.expect(_gpus(hit)[1:] == _gpus(spared), f"job {first} ran on {_gpus(hit)}")
    fault.mend(stub, failed, pid_file)
    host.wait_until_told("works again", number + 1)


def _submit(ground: Ground, student: int, program: Program, first: str) -> int:
    """The job's id, once it runs; it notes on which GPU."""
    note = f'echo "$CUDA_VISIBLE_DEVICES" >>{_noted(program)}\n'
    job = ground.submit_direct(ground.students[student], program.source(first=note + first))
    wait_for(lambda: _gpus(program), "it runs", 30)
    return job


def _noted(program: Program) -> Path:
    return program.path.with_suffix(".gpus")


def _gpus(program: Program) -> list[str]:
    """On which GPUs it was started, in order."""
    with suppress(FileNotFoundError):
        return _noted(program).read_text().split()
    return []


def _check_ended(ground: Ground, student: int, job: int, endings: list[str]) -> None:
    seen = ground.over(ground.students[student], job)
    ground.expect(seen["outcome"] == "succeeded", f"job {job} ended as {seen['outcome']}")
    found = [attempt["ending"] for attempt in seen["attempts"]]
    ground.expect(found == endings, f"job {job}: {found}")
