"""executor.py's own parts, and what a sandbox may have left behind on this machine."""

import fcntl
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

_taken: list[int] = []  # the locks on what this process has


@functools.cache
def own_uids(subject: str) -> int:
    """The first of five uids for the sandboxes of a subject's tests, which look for what is left of
    them: no other test on this machine has them. They are in executor.py's range, at whose other
    end other executors begin."""
    for first in range(60700, 61180, 5):
        lock = os.open(
            f"/tmp/telerun-tests-of-{os.getuid()}-uids-{first}", os.O_RDWR | os.O_CREAT, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _taken.append(lock)  # until this process ends
        return first
    raise AssertionError(f"no uids are left for {subject}")


def bubblewrap() -> str | None:
    return shutil.which("bwrap")


def processes_of(uids: range) -> list[str]:
    """Command lines of the processes that run as one of these uids; zombies have ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "status").read_text()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        fields = dict(one.split(":\t", 1) for one in told.splitlines() if ":\t" in one)
        if int(fields["Uid"].split()[0]) in uids and not fields["State"].startswith("Z"):
            found.append(f"{entry.name} {line or fields['Name']}")
    return found


def files_of(uids: range) -> list[str]:
    """What these uids own where anybody may write."""
    whose = ["-uid", f"+{uids.start - 1}", "-uid", f"-{uids.stop}"]
    told = subprocess.run(
        ["find", "/tmp", "/var/tmp", "/dev/shm", *whose],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,  # others' files come and go
    )  # fmt: skip
    return told.stdout.splitlines()


def mounts() -> set[str]:
    """Mounts as slots and bubblewrap make them, seen from here, where none may ever be."""
    places = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {place for place in places if re.match(r"/tmp/\d+$|/(new|old)root\b|/job\b", place)}


def cgroups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("*telerun*") if path.is_dir()}
