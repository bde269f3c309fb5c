"""The checks, in the order of the table."""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.gpu_check.host import PROGRAMS, TIGHT, Host, executor
from tests.gpu_check.table import check
from tests.support.processes import NVCC, ROOT, Process, has_sandbox, run, side_by_side, wait_for

EXAMPLES = sorted((ROOT / "examples").glob("*.cu"))
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 1 << 16, "output_bytes": 1 << 20}


# --- The host ----------------------------------------------------------------------------


@check("bubblewrap, nvcc and a host compiler are here")
def tools(host: Host) -> str:
    assert has_sandbox(), "bubblewrap is missing, or may make no namespaces"
    return f"nvcc {executor.nvcc_version(executor.find_nvcc(NVCC))}"


@check("GPUs are found, or their absence is said")
def detection(host: Host) -> str:
    if host.gpus:
        return "; ".join(f"{g.index}: {g.name}, {g.architecture}, {g.uuid}" for g in host.gpus)
    auth = host.course.auth
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1]
    done = run([*argv, "--auth", auth, "--nvcc", NVCC])
    assert done.status == 2, f"exit status {done.status}: {done.err}"
    assert "asks for more GPUs than there are (0;" in done.err, done.err
    return "no GPU, and the executor refuses to start without --no-gpu"


@check("a CUDA_VISIBLE_DEVICES that names no GPU is refused", "a GPU")
def no_choice(host: Host) -> str:
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1]
    for allowed in ("", "-1", "99", "GPU-none"):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": allowed}
        done = run([*argv, "--auth", host.course.auth, "--nvcc", NVCC], env=environment)
        assert done.status == 2, f"{allowed!r}: exit status {done.status}"
        assert "CUDA_VISIBLE_DEVICES" in done.err, done.err
    return "refused: empty, -1, unknown"


@check("one lock a GPU on this host")
def locks(host: Host) -> str:
    uuid = host.gpus[0].uuid if host.gpus else f"GPU-check-{os.getpid()}"
    if host.gpus:
        assert host.course  # its executor has it
        with_lock = None
    else:
        with_lock = executor.lock_gpu(executor.Gpu("0", uuid, "none", "", ""))
    taken = run([sys.executable, "-c", TAKES_A_LOCK.format(uuid=uuid)])
    if with_lock:
        with_lock.close()
    assert "Another executor on this machine has GPU" in taken.err, taken.err
    return f"another process is refused {uuid}"


TAKES_A_LOCK = """
from tests.support.scripts import load
executor = load("executor")
executor.lock_gpu(executor.Gpu("0", "{uuid}", "none", "", ""))
"""


@check("the kernel's log can be followed, for Xid errors")
def kernel_log(host: Host) -> str:
    executor.KernelLog(Path("/dev/kmsg")).new_xids("0000:00:00")
    return "/dev/kmsg"


@check("every check program compiles in the sandbox for this host's architecture")
def compiles(host: Host) -> str:
    course = host.course
    for path in [*sorted(PROGRAMS.glob("*.cu")), *EXAMPLES]:
        compile_in_sandbox(host, course.world.folder, path)
    return f"{len(list(PROGRAMS.glob('*.cu')))} programs and {len(EXAMPLES)} examples for {host.architecture}"  # noqa: E501


def compile_in_sandbox(host: Host, folder: Path, path: Path) -> Path:
    """The program that comes out."""
    place = folder / f"compiled-{path.stem}"
    place.mkdir()
    options = executor.parse(["--nproc-compile", "1", "--nproc-execute", "1"])
    box = executor.Bubblewrap(options, executor.find_nvcc(NVCC), folder / "sandbox")
    slot = executor.Slot(box)
    try:
        flags = executor.architecture_flags([executor.full_architecture(host.architecture)])
        argv = [executor.find_nvcc(NVCC), "-O3", *flags, "-o", box.places(place).program]
        files = {path.name: path.read_text()}
        command = box.compiler(place, files, [*argv, f"./{path.name}"], LIMITS)
        ended = slot.run(command, 120, LIMITS, lambda: True)
    finally:
        slot.close()
    assert ended.exit_code == 0, f"{path.name}: {ended.log.decode(errors='replace')[-300:]}"
    return place / "program"


@check("all of examples/ run, and print what they should")
def examples(host: Host) -> str:
    for path in EXAMPLES:
        job = host.course.run(path)
        log = job["result"]["execute_log"] if job["result"] else ""
        assert job["outcome"] == "succeeded", f"{path.name}: {job['outcome']}: {log[-200:]}"
        wanted = expected(host)[path.stem] if host.gpus else "no GPU for this program here"
        assert re.search(wanted, log), f"{path.name} printed {log[-200:]!r}"
    return "as on a GPU" if host.gpus else "without a GPU: CUDA says so, and they do"


def expected(host: Host) -> dict[str, str]:
    """What the examples print on a GPU, as patterns."""
    hello = "Hello from block [01], thread [0-3] of the GPU"
    return {
        "device_info": r"1 GPU visible\n0: .*, compute capability \d",
        "hello": rf"^({hello}\.\n){{8}}$",
        "matmul": r"PASSED: 512 x 512 in .* 0 elements wrong",
        "vector_add": r"PASSED: 1048576 of 1048576 sums are right",
    }


@check("the hostile programs get their outcome, and the job after each is unaffected")
def corpus(host: Host) -> str:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telerun_site.settings")
    django.setup()
    from tests import test_hostile

    theirs = host.new_course(1, **test_hostile.LIMITS)
    scratch = theirs.world.folder / "scratch"
    course = test_hostile.Course(theirs.world, theirs.auth, scratch, alice=theirs.alice)
    faults = []
    for name in test_hostile.NAMES:
        faults += course.faults(name) + course.faults(test_hostile.HEALTHY)
    faults += theirs.quarantines()
    host.close_course()
    assert not faults, "; ".join(faults)[:1000]
    return f"{len(test_hostile.NAMES)} programs" + ("" if host.gpus else ", on a host without GPU")


def token(auth: Path) -> str:
    return re.search(r'"token": "([^"]+)"', auth.read_text())[1]


# --- What only a GPU can show ------------------------------------------------------------


@check("CUDA starts and computes in the sandbox under the default limits", "a GPU")
def runs(host: Host) -> str:
    seen = host.new_course(1).check("runs")
    host.close_course()
    return seen


@check("and under tight limits on memory, processes and disk", "a GPU")
def runs_tightly(host: Host) -> str:
    tight = f"{TIGHT['TELERUN_MEMORY_BYTES'] >> 20} MiB, {TIGHT['TELERUN_PROCESSES']} processes"
    return f"{host.course.check('runs')}, with {tight}"


@check("each result is stamped with its GPU, clocks and temperature", "a GPU")
def stamps(host: Host) -> str:
    gpu = host.course.run(PROGRAMS / "runs.cu")["result"]["details"]["gpu"]
    wanted = host.gpus[0]
    assert (gpu["uuid"], gpu["name"], gpu["driver"]) == (wanted.uuid, wanted.name, wanted.driver)
    unknown = [k for k in ("sm_clock_mhz", "temperature_c", "throttled") if gpu[k] is None]
    assert not unknown or wanted.whole, f"nvidia-smi does not tell: {unknown}"
    return f"{gpu['sm_clock_mhz']} MHz, {gpu['temperature_c']} °C, throttled by {gpu['throttled']}"


@check("a program sees one GPU and one device file, whatever it sets", "a GPU")
def one_gpu(host: Host) -> str:
    return host.course.check("lists_devices")


@check("the other GPUs are invisible", "two GPUs")
def other_gpus(host: Host) -> str:
    course = host.new_course(len(host.gpus), **TIGHT)
    seen = course.check("lists_devices")
    host.close_course()
    return f"of {len(host.gpus)} GPUs: {seen}"


@check("every GPU works at the same time as the others", "two GPUs")
def all_at_once(host: Host) -> str:
    count = len(host.gpus)
    course = host.new_course(count, **{**TIGHT, "TELERUN_MAX_QUEUED_PER_USER": 4 * count})
    jobs = side_by_side(*[lambda: course.run(PROGRAMS / "runs.cu") for _ in range(4 * count)])
    used = {job["result"]["details"]["gpu"]["uuid"] for job in jobs}
    host.close_course()
    assert all(job["outcome"] == "succeeded" for job in jobs), [job["outcome"] for job in jobs]
    assert len(used) > 1, f"{4 * count} jobs ran on {len(used)} GPU"
    return f"{4 * count} jobs on {len(used)} GPUs"


@check("an instance of a split GPU is a GPU of its own", "a split GPU (MIG)")
def instances(host: Host) -> str:
    count = len(host.gpus)
    course = host.new_course(count, **TIGHT)
    seen = course.check("lists_devices")
    host.close_course()
    return f"of {count} instances: {seen}"


@check("the last job's memory on the GPU cannot be read", "a GPU")
def memory_is_clean(host: Host) -> str:
    written = host.course.check("writes_a_pattern")
    return f"{written}; then {host.course.check('reads_memory')}"


@check("all of its memory can be taken, and is there again for the next job", "a GPU")
def all_memory(host: Host) -> str:
    return host.course.check_after("takes_all_memory")


@check("a kernel that never ends is killed, and the GPU recovers", "a GPU")
def killed_kernel(host: Host) -> str:
    host.course.check("never_ends")
    ended = time.monotonic()
    host.course.check("runs")
    seconds = time.monotonic() - ended
    assert not host.course.quarantines(), host.course.quarantines()[-1]
    return f"the next job had its result {seconds:.1f} s later"


@check("so are those of children that outlive their program", "a GPU")
def killed_children(host: Host) -> str:
    return host.course.check_after("never_ends_in_children")


@check("so is a grid that waits for itself with all memory taken", "a GPU")
def killed_grid(host: Host) -> str:
    return host.course.check_after("stuck_barrier")


@check("a kernel's bad address is its program's failure, not the GPU's", "a GPU")
def bad_address(host: Host) -> str:
    return host.course.check_after("bad_address")


@check("what kernels print is in the log", "a GPU")
def kernel_prints(host: Host) -> str:
    return host.course.check("prints_in_a_kernel")


@check("kernels that print without end are stopped", "a GPU")
def kernel_floods(host: Host) -> str:
    host.course.check_after("prints_without_end")
    return "output_exceeded"


@check("a process of others on the GPU quarantines it, until it goes", "a GPU")
def gate(host: Host) -> str:
    course = host.course
    before = len(course.quarantines())
    again = course.executor.told().count("works again")
    holder = start_holder(host)
    try:
        course.executor.wait_until_told("is quarantined: processes are on it", before + 1, 120)
    finally:
        holder.kill()
    course.executor.wait_until_told("works again", again + 1, 120)
    course.check("runs")
    return course.quarantines()[-1].partition("quarantined: ")[2]


def start_holder(host: Host) -> Process:
    """holds_the_gpu.cu, outside of the sandbox."""
    folder = host.course.world.folder
    program = folder / "holds"
    subprocess.run(
        [NVCC, f"-arch={host.architecture}", "-o", program, PROGRAMS / "holds_the_gpu.cu"],
        check=True, capture_output=True,
    )  # fmt: skip
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": host.gpus[0].uuid}
    holder = Process("holder", folder / "holder.log", [program], env=environment)
    host.course.world.processes.append(holder)
    holder.wait_until_told("it holds the GPU")
    return holder


@check("what the gate costs between two jobs", "a GPU")
def gate_costs(host: Host) -> str:
    watched: Any = executor.Gate(host.gpus[0], executor.KernelLog(Path("/dev/kmsg")))
    took = []
    for _ in range(10):
        began = time.perf_counter()
        watched.look()
        took.append(time.perf_counter() - began)
    advice = "" if max(took) < 1 else "; turn persistence mode on: nvidia-smi -pm 1"
    return f"{statistics.median(took) * 1e3:.0f} ms, at most {max(took) * 1e3:.0f} ms{advice}"


@check("the executor stops when told, and leaves nothing on the GPU", "a GPU")
def stops(host: Host) -> str:
    status = host.course.executor.stop()
    assert status == 0, f"exit status {status}"
    watched: Any = executor.Gate(host.gpus[0], None)
    wait_for(lambda: watched.look() == "", "nothing is left on it", 20)
    return "exit status 0"
