# ruff: noqa: ERA001, PERF401, SIM115
# For the token, for others, for a way out: in files, processes, the network, system calls.
# outcome: succeeded
# log: "nothing found\n"
import ctypes
import glob
import os
import socket
import sys

found = []
for path in ["@AUTH@", "@SCRATCH@", "/etc/shadow", "/etc/passwd", "/root", "/home"]:
    if os.path.exists(path) and (os.path.isfile(path) or os.listdir(path)):
        found.append(path)
if any(os.path.exists(f"/proc/{pid}") for pid in range(4, 5000)):
    found.append("a process")
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        if b"tlre_" in open(path, "rb").read():
            found.append(path)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", int("@PORT@")), 3)
    found.append("the network")
except OSError:
    pass
for place in [
    sys.prefix + "/x",
    os.path.dirname(sys.executable) + "/x",
    os.__file__,
    "/job/x",
    "/x",
]:
    try:
        open(place, "a").close()
        found.append("written " + place)
    except OSError:
        pass
libc = ctypes.CDLL(None)
for name, arguments in {
    "ptrace": (0, 0, 0, 0),
    "unshare": (0x10000000,),
    "mount": (b"none", b"/tmp", b"tmpfs", 0, b""),
    "setuid": (0,),
    "chroot": (b"/tmp",),
}.items():
    if getattr(libc, name)(*arguments) == 0:
        found.append(name)
print(*found or ["nothing found"])
