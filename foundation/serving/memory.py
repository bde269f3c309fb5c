"""How the server's memory is given out, which only the start of a program can settle."""

import contextlib
import os
import sys

# glibc gives threads pools of their own and keeps freed pieces for each. For a server of a
# thousand threads that is a fifth of its memory, and of no use: Python runs one at a time.
_FEW_POOLS = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
_VARIABLE = "GLIBC_TUNABLES"
_MARK = "pools"  # an option that Python hands on; glibc may take the variable out again


def share_pools() -> None:
    """Starts this program anew, as the same process, with one pool of memory for all threads.

    Does nothing where another C library is in use, the operator has settings of their own, or
    Python cannot be started: the server runs as well without.
    """
    if "CS_GNU_LIBC_VERSION" not in os.confstr_names or not sys.executable:
        return
    if _VARIABLE in os.environ or _MARK in sys._xoptions:
        return
    again = [sys.orig_argv[0], "-X", _MARK, *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):
        os.execve(sys.executable, again, {**os.environ, _VARIABLE: _FEW_POOLS})  # noqa: S606
