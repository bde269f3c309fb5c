# ruff: noqa: ERA001, PERF401
# By ctypes what watches_others does in C, and sockets that Python has names for.
# outcome: succeeded
# log: "nothing found\n"
import ctypes
import fcntl
import os
import socket

found = []
libc = ctypes.CDLL(None, use_errno=True)
for name in ("inotify_init", "inotify_init1", "fanotify_init"):
    if getattr(libc, name)(0, 0) >= 0:
        found.append(name)
folder = os.open("/usr/lib", os.O_RDONLY)
for order in (fcntl.F_NOTIFY, fcntl.F_SETLEASE):
    try:
        fcntl.fcntl(folder, order, 1)
        found.append(f"fcntl {order}")
    except OSError:
        pass
for arguments in [
    (socket.AF_INET, socket.SOCK_STREAM, 262),
    (socket.AF_INET, socket.SOCK_DGRAM, 136),
    (socket.AF_INET, socket.SOCK_SEQPACKET, 132),
    (socket.AF_NETLINK, socket.SOCK_RAW, 16),
    (38, socket.SOCK_SEQPACKET, 0),
]:
    try:
        socket.socket(*arguments).close()
        found.append(f"socket {arguments}")
    except OSError:
        pass
print(*found or ["nothing found"])
