"""What the driver and nvidia-smi really say here, kept as files that can become fixtures."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.gpu_check.anonymous import Anonymous
from tests.gpu_check.checks.gate import new_gate
from tests.gpu_check.host import Host, executor
from tests.gpu_check.table import check

RECORDER = """#!/bin/sh
one=$(mktemp "{folder}/answer-XXXXXX") || exec "{real}" "$@"
printf '%s\\n' "$*" >"$one.asked"
"{real}" "$@" >"$one" 2>&1
status=$?
printf '%s\\n' "$status" >"$one.status"
cat "$one"
exit $status
"""
FIELDS = (
    *("index", "uuid", "name", "pci.bus_id", "pci.device_id", "persistence_mode", "compute_mode"),
    *("mig.mode.current", "mig.mode.pending", "memory.total", "memory.used", "memory.reserved"),
    *("ecc.mode.current", "gpu_recovery_action"),
)
# Beside what the executor asks: forms that it may have to know one day.
MORE = (
    ["-L"],
    ["-q"],
    ["-q", "-x"],
    ["--version"],
    ["-i", "99", "--query-gpu=uuid", "--format=csv,noheader"],
    ["--query-gpu=no.such.field", "--format=csv,noheader"],
    ["--query-gpu=" + ",".join(FIELDS), "--format=csv"],
    ["--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader"],
)
OF_THE_DRIVER = (
    "proc/driver/nvidia/version", "proc/driver/nvidia/params", "proc/driver/nvidia/registry",
    "proc/driver/nvidia/gpus/*/information", "proc/driver/nvidia/capabilities/**/*",
    "proc/driver/nvidia-caps/*", "sys/module/nvidia/version", "sys/module/nvidia*/initstate",
)  # fmt: skip
OF_THE_BUS = ("numa_node", "local_cpulist", "class", "vendor", "device", "power/runtime_status")


@check("the raw answers of nvidia-smi and the driver are kept, without names", "a GPU", 120)
def raw_answers(host: Host) -> str:
    folder = host.keep / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    anonymous = Anonymous()
    secrets = [gpu.uuid for gpu in host.gpus]
    with recorded(host) as answers:
        executor.find_gpus()
        new_gate(host).look()
        for question in MORE:
            subprocess.run(["nvidia-smi", *question], capture_output=True, timeout=60, check=False)
        kept = keep_answers(answers, folder, anonymous)
    kept += keep_driver(folder, anonymous)
    told = "".join(path.read_text() for path in sorted(folder.rglob("*.txt")))
    assert not any(secret in told for secret in secrets), f"{folder} still names a GPU's UUID"
    return f"{kept} files in {folder}"


@contextmanager
def recorded(host: Host) -> Iterator[Path]:
    """Meanwhile an nvidia-smi before the real one keeps what is asked and answered, in that
    folder."""
    folder = host.keep / "recorded"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recorder = folder / "nvidia-smi"
    recorder.write_text(RECORDER.format(folder=folder, real=shutil.which("nvidia-smi")))
    recorder.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield folder
    finally:
        os.environ["PATH"] = before
        shutil.rmtree(folder, ignore_errors=True)


def keep_answers(answers: Path, folder: Path, anonymous: Anonymous) -> int:
    """One file a question, with the exit status; how many there are."""
    kept: dict[str, str] = {}
    for asked in sorted(answers.glob("*.asked"), key=lambda path: path.stat().st_mtime_ns):
        question = asked.read_text().strip()
        answer = asked.with_suffix("").read_text(errors="replace")
        as_told = anonymous.apps if "--query-compute-apps" in question else anonymous.text
        with suppress(OSError):  # it was killed before it ended
            status = asked.with_suffix(".status").read_text().strip()
            heading = f"$ nvidia-smi {anonymous.text(question)}   (exit status {status})"
            kept.setdefault(heading, as_told(answer))
    for number, (heading, answer) in enumerate(kept.items()):
        (folder / f"nvidia-smi-{number:02}.txt").write_text(f"{heading}\n{answer}")
    return len(kept)


def keep_driver(folder: Path, anonymous: Anonymous, root: Path = Path("/")) -> int:
    """The driver's own files, its device files, and where the GPUs are on the bus."""
    parts = {"driver-files.txt": driver_files(root), "device-files.txt": device_files(root)}
    parts["bus.txt"] = bus(root)
    for name, text in parts.items():
        (folder / name).write_text(anonymous.text(text))
    return len(parts)


def driver_files(root: Path) -> str:
    """Each with its path before it."""
    told = []
    for pattern in OF_THE_DRIVER:
        for path in sorted(root.glob(pattern)):
            with suppress(OSError):
                if path.is_file():
                    told.append(f"== /{path.relative_to(root)}\n{path.read_text(errors='replace')}")
    with suppress(OSError):
        lines = (root / "proc/devices").read_text().splitlines()
        told.append("== /proc/devices\n" + "".join(f"{one}\n" for one in lines if "nvidia" in one))
    return "".join(told)


def device_files(root: Path) -> str:
    """Their modes, owners and numbers, and those of the program that makes them."""
    told = []
    programs = [root / place / "nvidia-modprobe" for place in ("usr/bin", "usr/sbin", "bin")]
    for path in [*sorted(root.glob("dev/nvidia*")), *sorted(root.glob("dev/nvidia-caps/*")), *programs]:  # fmt: skip  # noqa: E501
        with suppress(OSError):
            about = path.stat()
            numbers = f"{os.major(about.st_rdev)}, {os.minor(about.st_rdev)}"
            mode = stat.filemode(about.st_mode)
            told.append(f"{mode} {about.st_uid} {about.st_gid} {numbers} /{path.relative_to(root)}\n")  # fmt: skip  # noqa: E501
    return "".join(told)


def bus(root: Path) -> str:
    """What the kernel says of each NVIDIA device's place."""
    told = []
    for place in sorted(root.glob("sys/bus/pci/devices/*")):
        with suppress(OSError):
            if (place / "vendor").read_text().strip() != "0x10de":
                continue
            told.append(f"== {place.name}\n")
            for name in OF_THE_BUS:
                with suppress(OSError):
                    told.append(f"{name}: {(place / name).read_text().strip()}\n")
    return "".join(told)
