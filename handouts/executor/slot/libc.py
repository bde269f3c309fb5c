"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_CHILD_SUBREAPER = 1, 4, 8, 36
MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 0x20000
CAP_SYS_RESOURCE = 1 << 24
CAPABILITIES_VERSION = 0x20080522  # of capset(2): two words of each set
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
        be_killed_first()

    return prepare


def set_capabilities(effective: int, permitted: int) -> None:
    """Of this thread; none is inherited by what it executes. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(effective, permitted, 0, 0, 0, 0)
    check_call(LIBC.capset(header, sets))


def be_killed_first() -> None:
    """This process and its descendants are the first to go when the host is out of memory.

    With CAP_SYS_RESOURCE, which a slot started by root keeps for this alone, the value is also the
    lowest that they may have (proc(5)); without it they may go back to the executor's own, where
    /proc can be written (hidden.py).
    """
    with suppress(OSError):
        set_capabilities(CAP_SYS_RESOURCE, CAP_SYS_RESOURCE)
    with suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, b"1000")
        os.close(descriptor)
