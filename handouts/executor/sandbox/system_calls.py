"""The filter of system calls (seccomp(2))."""

from __future__ import annotations

import errno

from handouts.client.errors import BadSetup
from handouts.executor.sandbox.bpf import (
    ARCHITECTURE,
    AT_LEAST,
    EQUAL,
    FIRST,
    HAS_BITS,
    NUMBER,
    SECOND,
    THIRD,
    keep_bits,
    load,
    refuse,
    unless,
    verdict,
    when,
)
from handouts.executor.sandbox.denied_calls import DENIED, FIRST_UNKNOWN
from handouts.executor.sandbox.usual_calls import usual_ranges

# On (x86-64, aarch64).
CLONE, CLONE3, IOCTL, FCNTL = (56, 220), (435, 435), (16, 29), (72, 25)
SOCKET, SOCKETPAIR, SETSOCKOPT = (41, 198), (53, 199), (54, 208)
PRLIMIT, CLOSE_RANGE = (302, 261), (436, 436)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_NEW = 0x7E020000  # every CLONE_NEW… flag of clone(2)
CLONE_FILES, CLONE_THREAD, CLOSE_RANGE_UNSHARE = 0x400, 0x10000, 0x2
TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
WATCHES = (1026, 1024)  # F_NOTIFY, F_SETLEASE: who opens a file of a folder, who opens this file
UNIX, NETLINK, INTERNET = 1, 16, (2, 10)  # families of sockets (IPv4, IPv6); no vsock, no others
ROUTE = 0  # the protocol of netlink that getifaddrs(3) speaks
STREAM, TCP, UDP = 1, 6, 17
FURTHER_KINDS = 3  # from here on: raw, seqpacket and so on
UPPER_LAYER = 31  # TCP_ULP: another protocol on top, such as TLS in the kernel

KILL, ALLOW, LOG = verdict(0x80000000), verdict(0x7FFF0000), verdict(0x7FFC0000)
DENY, ABSENT = refuse(errno.EPERM), refuse(errno.ENOSYS)
NO_FAMILY, NO_KIND = refuse(errno.EAFNOSUPPORT), refuse(errno.ESOCKTNOSUPPORT)
NO_PROTOCOL, NO_OPTION = refuse(errno.EPROTONOSUPPORT), refuse(errno.ENOPROTOOPT)


def seccomp_filter(machine: str, log_calls: bool = False) -> bytes:
    """The filter for this kind of machine. Raises BadSetup for one that it does not know.

    `log_calls`: calls that are neither refused nor usual (usual_calls.py) are noted in the
    kernel's log, and done.
    """
    if machine not in ARCHITECTURES:
        raise BadSetup(
            f"There is no system call filter for a {machine}; "
            "--sandbox none runs without a sandbox."
        )
    column, audit_architecture = ARCHITECTURES[machine]
    program = load(ARCHITECTURE) + unless(EQUAL, audit_architecture, KILL) + load(NUMBER)
    if machine == "x86_64":  # x32, whose calls have numbers of their own
        program += when(AT_LEAST, 0x40000000, KILL)
    program += when(AT_LEAST, FIRST_UNKNOWN, ABSENT)
    for numbers in DENIED.values():
        program += when(EQUAL, numbers[column], DENY)
    for part in (threads, other_limits, terminal, watches, sockets, socket_options):
        program += part(column)
    return program + (usual(column) + LOG if log_calls else ALLOW)


def usual(column: int) -> bytes:
    """Allows the usual calls."""
    program = b""
    for first, last in usual_ranges(column):
        program += when(AT_LEAST, first, unless(AT_LEAST, last + 1, ALLOW))
    return program


def threads(column: int) -> bytes:
    """No new namespaces, and threads share their descriptors: the memory behind those that a
    thread has for itself would not be seen (memory_watch.py)."""
    # Without clone3 glibc uses clone, whose flags a filter can see.
    alone = when(HAS_BITS, CLONE_THREAD, unless(HAS_BITS, CLONE_FILES, DENY))
    clone = load(FIRST) + when(HAS_BITS, CLONE_NEW, DENY) + alone + ALLOW
    close_range = load(THIRD) + when(HAS_BITS, CLOSE_RANGE_UNSHARE, DENY) + ALLOW
    program = when(EQUAL, CLONE3[column], ABSENT) + when(EQUAL, CLONE[column], clone)
    return program + when(EQUAL, CLOSE_RANGE[column], close_range)


def other_limits(column: int) -> bytes:
    """Limits only of the calling process (0), not of the first process, which has the same uid."""
    return when(EQUAL, PRLIMIT[column], load(FIRST) + when(EQUAL, 0, ALLOW) + DENY)


def terminal(column: int) -> bytes:
    """No typing into somebody's terminal."""
    tricks = b"".join(when(EQUAL, trick, DENY) for trick in TERMINAL_TRICKS)
    return when(EQUAL, IOCTL[column], load(SECOND) + tricks + ALLOW)


def watches(column: int) -> bytes:
    """No word of who opens which file."""
    orders = b"".join(when(EQUAL, order, DENY) for order in WATCHES)
    return when(EQUAL, FCNTL[column], load(SECOND) + orders + ALLOW)


def sockets(column: int) -> bytes:
    """Those of this machine, TCP and UDP, and netlink as far as the C library uses it.

    The kernel's other protocols are much code that nothing here needs.
    """
    only_route = load(THIRD) + when(EQUAL, ROUTE, ALLOW) + NO_PROTOCOL
    plain = load(FIRST) + when(EQUAL, UNIX, ALLOW) + when(EQUAL, NETLINK, only_route)
    for family in INTERNET:
        plain += when(EQUAL, family, internet())
    program = when(EQUAL, SOCKET[column], plain + NO_FAMILY)
    pair = load(FIRST) + when(EQUAL, UNIX, ALLOW) + NO_FAMILY
    return program + when(EQUAL, SOCKETPAIR[column], pair)


def internet() -> bytes:
    """Its end: TCP for streams, UDP for what else there is. 0 asks for the same."""

    def only(protocol: int) -> bytes:
        return load(THIRD) + when(EQUAL, 0, ALLOW) + when(EQUAL, protocol, ALLOW) + NO_PROTOCOL

    kind = load(SECOND) + keep_bits(0xF)  # without SOCK_NONBLOCK and SOCK_CLOEXEC
    return (
        kind + when(AT_LEAST, FURTHER_KINDS, NO_KIND) + when(EQUAL, STREAM, only(TCP)) + only(UDP)
    )


def socket_options(column: int) -> bytes:
    """No protocol on top of TCP."""
    no_layer = when(EQUAL, TCP, load(THIRD) + when(EQUAL, UPPER_LAYER, NO_OPTION))
    return when(EQUAL, SETSOCKOPT[column], load(SECOND) + no_layer + ALLOW)
