"""The machine and its tools, and what is tried without a GPU too."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gpu_check.course import PROGRAMS, SHARED, header
from tests.gpu_check.host import Host, executor, is_root, nvidia_devices
from tests.gpu_check.table import NotHere, NotTested, check
from tests.support.processes import NVCC, ROOT, Process, has_sandbox, run, wait_for

EXAMPLES = sorted((ROOT / "examples").glob("*.cu"))
LABS = ROOT / "examples" / "labs"
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 1 << 16, "output_bytes": 1 << 20}


@check("bubblewrap, nvcc and a host compiler are here")
def tools(host: Host) -> str:
    if host.is_without_sandbox:
        raise NotTested("bubblewrap: --without-sandbox was given")
    assert has_sandbox(), "bubblewrap is missing, or may make no namespaces"
    return f"nvcc {executor.nvcc_version(executor.find_nvcc(NVCC))}"


@check("GPUs are found, or their absence is said")
def detection(host: Host) -> str:
    if host.gpus:
        return "; ".join(f"{g.index}: {g.name}, {g.architecture}" for g in host.gpus)
    found = nvidia_devices()
    assert not found, f"this machine has {', '.join(found)}, and {what_nvidia_smi_says()}"
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1]
    folder = host.course.world.folder
    started = Process(
        "executor", folder / "no-gpu.log", [*argv, "--auth", host.course.auth, "--nvcc", NVCC]
    )
    host.course.world.processes.append(started)
    wait_for(lambda: "GPU" in started.told() or started.popen.poll() is not None, "it says so", 30)
    started.stop()
    told = started.told() or "nothing"
    assert "GPU" in told, told
    assert " workers, queue " not in told, told
    return "no GPU, and the executor does not start without --no-gpu"


def what_nvidia_smi_says() -> str:
    """Where no GPU was found, why, in one line."""
    try:
        done = run(["nvidia-smi", "-L"], timeout=60)
    except FileNotFoundError:
        return "nvidia-smi is not installed: the driver is missing"
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer within 60 s"
    return f"nvidia-smi says: {' '.join((done.out + done.err).split())[:200] or 'nothing'}"


@check(
    "a CUDA_VISIBLE_DEVICES that names no GPU is refused",
    "a GPU",
)
def no_choice(host: Host) -> str:
    argv = [sys.executable, ROOT / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1]
    argv += ["--auth", host.course.auth, "--nvcc", NVCC]

    def refused(allowed: str) -> None:
        done = run(argv, env={**os.environ, "CUDA_VISIBLE_DEVICES": allowed})
        assert done.status == 2, f"{allowed!r}: exit status {done.status}: {done.err[-200:]}"
        assert "CUDA_VISIBLE_DEVICES" in done.err, done.err

    for allowed in ("", "-1", "99", "GPU-none"):
        refused(allowed)
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
    return f"another process is refused {f'GPU {host.gpus[0].index}' if host.gpus else uuid}"


TAKES_A_LOCK = """
from tests.support.scripts import load
executor = load("executor")
gpus = [gpu for gpu in executor.find_gpus() if gpu.uuid == "{uuid}"]
executor.lock_gpu(gpus[0] if gpus else executor.Gpu("0", "{uuid}", "none", "", ""))
"""


@check("the kernel's log can be followed, for Xid errors")
def kernel_log(host: Host) -> str:
    place = Path("/dev/kmsg")
    if not place.exists():
        raise NotHere("this machine has no /dev/kmsg (a container?): Xid errors go unseen")
    if not is_root() and not os.access(place, os.R_OK):
        raise NotHere("/dev/kmsg is root's here: Xid errors go unseen; start it as root")
    executor.KernelLog(place).new_xids("0000:00:00")
    return "/dev/kmsg"


@check(
    "every check program compiles in the sandbox for this host's architecture",
    seconds=120,
    in_sandbox=True,
)
def compiles(host: Host) -> str:
    folder = host.course.world.folder
    programs = [*sorted(PROGRAMS.glob("*.cu")), *EXAMPLES]
    workers = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        list(workers.map(lambda path: compile_in_sandbox(host, folder, path), programs))
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    return f"{len(programs) - len(EXAMPLES)} programs and {len(EXAMPLES)} examples for {host.architecture}"  # fmt: skip  # noqa: E501


def compile_in_sandbox(host: Host, folder: Path, path: Path) -> Path:
    """The program that comes out."""
    place = folder / f"compiled-{path.stem}"
    place.mkdir()
    options = executor.parse(["--nproc-compile", "1", "--nproc-execute", "1"])
    nvcc = executor.find_nvcc(NVCC)
    box = executor.Bubblewrap(options, nvcc, folder / f"sandbox-{path.stem}")
    slot = executor.Slot(box)
    try:
        full = executor.full_architecture(host.architecture, executor.nvcc_version(nvcc))
        argv = [nvcc, "-O3", *executor.architecture_flags([full]), "-o", box.places(place).program]
        argv += [f"./{path.name}", *header(path).get("flags", "").split()]
        files = {path.name: path.read_text(), **SHARED}
        command = box.compiler(place, files, argv, LIMITS)
        ended = slot.run(command, 100, LIMITS, lambda: True)
    finally:
        slot.close()
    assert ended.exit_code == 0, f"{path.name}: {ended.log.decode(errors='replace')[-300:]}"
    return place / "program"


@check(
    "all of examples/ run, and print what they should",
    seconds=90,
)
def examples(host: Host) -> str:
    course = host.course
    jobs = course.run_all(EXAMPLES)
    for path, job in zip(EXAMPLES, jobs, strict=True):
        log = job["result"]["execute_log"] if job["result"] else ""
        assert job["outcome"] == "succeeded", f"{path.name}: {job['outcome']}: {log[-200:]}"
        wanted = on_a_gpu()[path.stem] if host.gpus else "no GPU for this program here"
        assert re.search(wanted, log), f"{path.name} printed {log[-200:]!r}"
    return "as on a GPU" if host.gpus else "without a GPU: CUDA says so, and they do"


def on_a_gpu() -> dict[str, str]:
    """What the examples print there, as patterns."""
    hello = "Hello from block [01], thread [0-3] of the GPU"
    return {
        "device_info": r"1 GPU visible\n0: .*, compute capability \d",
        "hello": rf"^({hello}\.\n){{8}}$",
        "mandelbrot": r"PASSED|out/mandelbrot\.ppm",
        "matmul": r"PASSED: 512 x 512 in .* 0 elements wrong",
        "vector_add": r"PASSED: 1048576 of 1048576 sums are right",
    }


@check(
    "the labs run as a student hands them in, with submit.py",
    "a GPU",
    120,
)
def labs(host: Host) -> str:
    course = host.course_of(
        "labs", "--nproc-cpu", 1, TELERUN_SUBMITS_PER_MINUTE=0, TELERUN_EXECUTE_SECONDS=60
    )
    seen = []
    for file in (LABS / "1-baseline/saxpy.cpp", LABS / "2-matmul/matmul.cu", LABS / "3-assembler/fma.cu"):  # fmt: skip  # noqa: E501
        out = course.world.folder / f"out-{file.stem}"
        done = course.world.submit(course.alice, file, "--out", out)
        assert done.status == 0, f"{file.name}: exit status {done.status}: {(done.out + done.err)[-300:]}"  # fmt: skip  # noqa: E501
        assert "SKIPPED" not in done.out, f"{file.name}: {done.out[-300:]}"
        seen.append((done.out.strip().splitlines() or ["nothing"])[-1])
    return "; ".join(seen)
