"""NVIDIA's tools in the sandbox: what a course would use beside the compiler."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.gpu_check.course import PROGRAMS
from tests.gpu_check.host import TIGHT, Host, executor
from tests.gpu_check.table import NotHere, check
from tests.support.processes import NVCC

ROOM = {
    **TIGHT, "TELERUN_EXECUTE_SECONDS": 60, "TELERUN_MEMORY_BYTES": 8 << 30,
    "TELERUN_PROCESSES": 512, "TELERUN_DISK_BYTES": 1 << 30,
}  # fmt: skip
PERMISSION = "ERR_NVGPUCTRPERM"
PLACES = ("/usr/local/cuda/bin", "/opt/nvidia/nsight-compute/*", "/opt/nvidia/nsight-systems/*/bin")


@check("compute-sanitizer in the sandbox", "a GPU", 90, in_sandbox=True)
def compute_sanitizer(host: Host) -> str:
    return try_tool(host, "compute-sanitizer", [], "ERROR SUMMARY: 0 errors")


@check("ncu in the sandbox, and whether it may read counters", "a GPU", 90, in_sandbox=True)
def ncu(host: Host) -> str:
    return try_tool(host, "ncu", ["--launch-count", "1"], "==PROF== Disconnected")


@check("nsys in the sandbox", "a GPU", 90, in_sandbox=True)
def nsys(host: Host) -> str:
    arguments = ["profile", "--trace=cuda", "--sample=none", "--cpuctxsw=none", "-o", "/tmp/report"]
    return try_tool(host, "nsys", arguments, "report.nsys-rep")


def try_tool(host: Host, name: str, arguments: list[str], words: str) -> str:
    """Runs a small program under it, as a job; `words` are what it says if it worked.

    A tool that says that counters are for administrators alone has told what there is to know.
    """
    tool = find_tool(name)
    shown = [str(path) for path in {Path("/opt/nvidia")} if path.is_dir()]
    binds = [part for path in shown for part in ("--sandbox-bind", path)]
    course = host.course_of("tools", *binds, **ROOM)
    job = course.run(PROGRAMS / "under_a_tool.cu", tool, *arguments)
    result = job["result"] or {"compile_log": "", "execute_log": ""}
    log = result["compile_log"] + result["execute_log"]
    keep_log(host, name, log)
    if PERMISSION in log:
        return f"{tool} starts, and may read no counters: {PERMISSION} (administrators alone may)"
    works = words in log and "it computed" in log
    assert works, f"{tool}: {job['outcome']}; it printed {' '.join(log.split())[-250:]!r}"
    return f"{tool} works"


def find_tool(name: str) -> Path:
    """Raises NotHere."""
    found = [place for place in places_of(name) if place.is_file()]
    if not found:
        raise NotHere(f"{name} is not installed")
    return found[0]


def places_of(name: str) -> list[Path]:
    """Where it may be: on the PATH, beside nvcc, where NVIDIA's own installers put it."""
    on_path = shutil.which(name)
    folders = [Path(executor.find_nvcc(NVCC)).parent]
    for pattern in PLACES:
        folders += sorted(Path("/").glob(pattern[1:]), reverse=True)
    return [Path(on_path)] * bool(on_path) + [folder / name for folder in folders]


def keep_log(host: Host, name: str, log: str) -> None:
    host.keep.mkdir(parents=True, exist_ok=True)
    (host.keep / f"{name}.txt").write_text(log[-20000:])


OPTION = "--seccomp-log"
CALL = re.compile(r"type=1326 .*?comm=\"?(\w+).*? syscall=(\d+)")  # of the kernel's audit messages


@check("which system calls of CUDA an allow list would refuse", "a GPU", 90, in_sandbox=True)
def logged_calls(host: Host) -> str:
    """Those that the kernel's log has while some programs run; they go to `keep`."""
    if not host.executor_knows(OPTION):
        raise NotHere(f"this executor.py has no {OPTION}")
    kmsg = Path("/dev/kmsg")
    if not kmsg.exists():
        raise NotHere("this machine has no /dev/kmsg")
    course = host.new_course(1, OPTION, **TIGHT)
    with kmsg.open("rb", buffering=0) as log:
        os.set_blocking(log.fileno(), False)
        log.seek(0, os.SEEK_END)
        for name in ("runs", "captures_a_graph", "cooperates", "prints_in_a_kernel"):
            course.check(name)
        calls = sorted(set(CALL.findall("".join(lines_of(log)))))
    host.close_course()
    told = ", ".join(f"{comm}: {number}" for comm, number in calls) or "none"
    keep_log(host, "seccomp-log", "\n".join(f"{comm} {number}" for comm, number in calls) + "\n")
    return f"by number: {told}"


def lines_of(log: Any) -> Iterator[str]:
    """The messages of /dev/kmsg that have come since it was opened; one that was overwritten is
    left out."""
    while True:
        try:
            message = log.read(1 << 13)
        except BrokenPipeError:
            continue
        if not message:
            return
        yield message.decode(errors="replace")
