"""Whose processes a slot's are: the executor's user, or a uid of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from handouts.executor.slot.libc import (
    CAP_SYS_RESOURCE,
    CLONE_NEWNS,
    LIBC,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    check_call,
    set_capabilities,
)
from handouts.executor.slot.protocol import Setup


class Identity:
    """Of a slot that was started by root, and gives that up at once."""

    def __init__(self, setup: Setup) -> None:
        """`problem` says afterwards why the slot cannot be used, "" if it can."""
        self._uid = setup.uid
        self.problem = ""
        if setup.uid is not None:
            try:
                mount_binds(setup.binds)
                become(setup.uid, setup.groups)
                self.kill_all()
            except OSError as error:
                self._uid = None
                self.problem = f"its slot cannot be set up: {error.strerror}"

    def kill_all(self) -> None:
        """Kills everything of this uid but this process (kill(2)), if the uid is the slot's own."""
        if self._uid is not None:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)


def become(uid: int, groups: Sequence[int]) -> None:
    """Gives root up for good, but for one capability (`be_killed_first`), where there is that. No
    program inherits it. Raises OSError."""
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    check_call(LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setresuid(uid, uid, uid)
    try:
        set_capabilities(0, CAP_SYS_RESOURCE)
    except OSError:  # root in a container without it
        set_capabilities(0, 0)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its own /proc/self/fd is closed to it


def mount_binds(paths: Sequence[str]) -> None:
    """Mounts what only root can reach at /tmp/0, /tmp/1, … of this process. Raises OSError."""
    if not paths:
        return
    check_call(LIBC.unshare(CLONE_NEWNS))
    check_call(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    opened = [os.open(path, os.O_PATH) for path in paths]  # before /tmp is another
    check_call(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=1m,mode=0755"))
    for number, descriptor in enumerate(opened):
        bind(f"/proc/self/fd/{descriptor}", f"/tmp/{number}")
        os.close(descriptor)


def bind(path: str, place: str) -> None:
    """Mounts a folder or file at a place that is made for it."""
    if os.path.isdir(path):
        os.mkdir(place)
    else:
        Path(place).touch()
    check_call(LIBC.mount(path.encode(), place.encode(), None, MS_BIND | MS_REC, None))
