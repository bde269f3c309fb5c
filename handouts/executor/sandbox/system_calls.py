"""The filter of system calls (seccomp(2)), in classic BPF."""

from __future__ import annotations

import errno
import socket
import struct

from handouts.client.errors import BadSetup

# Calls that no CUDA program needs and that past exploits used; their numbers on (x86-64, aarch64).
DENIED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
CLONE, CLONE3, IOCTL, SOCKET = (56, 220), (435, 435), (16, 29), (41, 198)
PRLIMIT, CLOSE_RANGE = (302, 261), (436, 436)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_NEW = 0x7E020000  # every CLONE_NEW… flag of clone(2)
CLONE_FILES, CLONE_THREAD, CLOSE_RANGE_UNSHARE = 0x400, 0x10000, 0x2
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)  # 16: netlink. Not vsock
TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

EQUAL, AT_LEAST, HAS_BITS = 0x15, 0x35, 0x45  # conditions of `jump`
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD = 0, 4, 16, 24, 32  # offsets: the call, its arguments


def load(offset: int) -> bytes:
    """Takes 32 bits of the call's description; of an argument the low half, as the kernel does."""
    return struct.pack("=HBBI", 0x20, 0, 0, offset)


def jump(condition: int, value: int, if_true: int, if_false: int) -> bytes:
    """Skips as many instructions."""
    return struct.pack("=HBBI", condition, if_true, if_false, value)


def verdict(what: int) -> bytes:
    """Ends the filter."""
    return struct.pack("=HBBI", 0x06, 0, 0, what)


KILL, ALLOW = verdict(0x80000000), verdict(0x7FFF0000)
DENY = verdict(0x00050000 | errno.EPERM)
ABSENT = verdict(0x00050000 | errno.ENOSYS)
NO_FAMILY = verdict(0x00050000 | errno.EAFNOSUPPORT)


def seccomp_filter(machine: str, log_calls: bool = False) -> bytes:
    """The filter for this kind of machine. Raises BadSetup for one that it does not know."""
    if machine not in ARCHITECTURES:
        raise BadSetup(
            f"There is no system call filter for a {machine}; "
            "--sandbox none runs without a sandbox."
        )
    column, audit_architecture = ARCHITECTURES[machine]
    program = load(ARCHITECTURE) + jump(EQUAL, audit_architecture, 1, 0) + KILL + load(NUMBER)
    if machine == "x86_64":  # x32, whose calls have numbers of their own
        program += jump(AT_LEAST, 0x40000000, 0, 1) + KILL
    for numbers in DENIED.values():
        program += jump(EQUAL, numbers[column], 0, 1) + DENY
    return (
        program
        + filter_threads(column)
        + filter_other_limits(column)
        + filter_terminal(column)
        + filter_sockets(column)
    )


def filter_threads(column: int) -> bytes:
    """No new namespaces, and threads share their descriptors: the memory behind those that a
    thread has for itself would not be seen (memory_watch.py)."""
    # Without clone3 glibc uses clone, whose flags a filter can see.
    program = jump(EQUAL, CLONE3[column], 0, 1) + ABSENT
    program += jump(EQUAL, CLONE[column], 0, 7) + load(FIRST)
    program += jump(HAS_BITS, CLONE_NEW, 0, 1) + DENY
    program += jump(HAS_BITS, CLONE_THREAD, 0, 2) + jump(HAS_BITS, CLONE_FILES, 1, 0) + DENY + ALLOW
    program += jump(EQUAL, CLOSE_RANGE[column], 0, 4) + load(THIRD)
    return program + jump(HAS_BITS, CLOSE_RANGE_UNSHARE, 0, 1) + DENY + ALLOW


def filter_other_limits(column: int) -> bytes:
    """Limits only of the calling process (0), not of the first process, which has the same uid."""
    program = jump(EQUAL, PRLIMIT[column], 0, 4) + load(FIRST)
    return program + jump(EQUAL, 0, 1, 0) + DENY + ALLOW


def filter_terminal(column: int) -> bytes:
    """No typing into somebody's terminal."""
    program = jump(EQUAL, IOCTL[column], 0, 5) + load(SECOND)
    for place, trick in enumerate(TERMINAL_TRICKS):
        program += jump(EQUAL, trick, 2 - place, 0)
    return program + ALLOW + DENY


def filter_sockets(column: int) -> bytes:
    """Only FAMILIES. The last part, so all other calls end in its ALLOW."""
    program = jump(EQUAL, SOCKET[column], 0, len(FAMILIES) + 2) + load(FIRST)
    for place, family in enumerate(FAMILIES):
        program += jump(EQUAL, int(family), len(FAMILIES) - place, 0)
    return program + NO_FAMILY + ALLOW
