"""What of /proc and /usr is hidden in the sandbox, from compilers and programs."""

from __future__ import annotations

import os
from pathlib import Path

# bubblewrap makes /proc/sys, sysrq-trigger, irq and bus read-only. These tell of the host and of
# what others do on it, or are the kernel's own business. What only root may read is not listed.
HIDDEN_FILES = (
    "buddyinfo",
    "diskstats",
    "interrupts",  # and softirqs: each key press and packet
    "kallsyms",
    "key-users",
    "keys",
    "latency_stats",
    "sched_debug",
    "schedstat",
    "softirqs",
    "timer_list",
    "timer_stats",
    "vmstat",
    "zoneinfo",
)
HIDDEN_FOLDERS = ("acpi", "asound", "bus", "driver", "fs", "irq", "pressure", "scsi")
# Setuid root, and runs where the driver's library finds no device files: here it could not help.
NVIDIA_MODPROBE = ("usr/bin/nvidia-modprobe", "usr/sbin/nvidia-modprobe")


def hidden(root: Path = Path("/")) -> list[str]:
    """bwrap's arguments, to follow --proc. What is in /proc/driver then is not read-only yet."""
    box = []
    for name in HIDDEN_FOLDERS:
        if (root / "proc" / name).is_dir():
            box += ["--tmpfs", f"/proc/{name}"]
            box += [] if name == "driver" else ["--remount-ro", f"/proc/{name}"]
    for name in HIDDEN_FILES:
        if is_public(root / "proc" / name):
            box += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for place in sorted(set(map(root_program, [root / path for path in NVIDIA_MODPROBE]))):
        box += ["--ro-bind", "/dev/null", place] if place else []
    return box


def root_program(path: Path) -> str:
    """Where it is shown in the sandbox, links followed: over a link nothing can be mounted. "" if
    it is not."""
    real = path.resolve()
    usr = next(folder for folder in path.parents if folder.name == "usr").resolve()
    if not real.is_file() or usr not in real.parents:
        return ""
    return f"/usr/{real.relative_to(usr)}"


def finished(has_gpu: bool, root: Path = Path("/")) -> list[str]:
    """bwrap's arguments once all is in /proc/driver.

    Without a GPU all of /proc is read-only, so that no program can take back that it is the first
    to be killed when memory is short (oom_score_adj). CUDA must write there: it names its threads
    in /proc/self/task/*/comm, and from driver 570 on does not start if it cannot.
    """
    box = ["--remount-ro", "/proc/driver"] if (root / "proc/driver").is_dir() else []
    return box if has_gpu else [*box, "--remount-ro", "/proc"]


def is_public(path: Path) -> bool:
    """Whether it is there and a sandbox's uid could read it."""
    try:
        return bool(os.stat(str(path)).st_mode & 0o004)
    except OSError:
        return False
