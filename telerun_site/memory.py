"""How the server's memory is given out, which only the start of a program can settle."""

import os
import sys

# glibc gives threads pools of their own and keeps freed pieces for each. For a server of a
# thousand threads that is a quarter of its memory, and of no use: Python runs one at a time.
_FEW_POOLS = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
_VARIABLE = "GLIBC_TUNABLES"


def share_pools() -> None:
    """Starts this program anew, as the same process, with one pool of memory for all threads.

    Does nothing where another C library is in use, or the operator has settings of their own.
    """
    if "CS_GNU_LIBC_VERSION" in os.confstr_names and _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = _FEW_POOLS
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  (our own command line)
