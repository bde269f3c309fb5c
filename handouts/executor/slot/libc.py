"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 0x20000
LIBC = ctypes.CDLL(None, use_errno=True)


def check_call(result: int) -> None:
    """Raises OSError for the result of a call that failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with(parent: int) -> Callable[[], None]:
    """For a child before it becomes bwrap: it is killed when the slot is, from the first moment.

    The slot is single-threaded: that signal follows the thread which forked (prctl(2)).
    """

    def prepare() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
