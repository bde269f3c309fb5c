"""Starting the process of a slot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from handouts.executor.slot.protocol import Setup


def start_slot(
    setup: Setup, cpus: Collection[int], group: Path | None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and this end of its socket.

    `cpus`: those that it has to itself, () for all; `group`: its cgroup.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), "--slot", setup.encode()],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=[setup.board] if setup.board >= 0 else [],
            env={k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH") if k in os.environ},
        )
    if cpus:  # for want of a cgroup that holds them: programs could change it
        with suppress(OSError):
            os.sched_setaffinity(process.pid, cpus)
    if group is not None:
        (group / "cgroup.procs").write_text(str(process.pid))
    return process, ours
