"""The filter of system calls, run by an interpreter of its own, for both kinds of machine; and as
the kernel runs it, in the real sandbox."""

import errno
import re
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")

ALLOW, KILL, LOG = 0x7FFF0000, 0x80000000, 0x7FFC0000
Ask = Callable[..., int]


def refused(error: int) -> int:
    return 0x00050000 | error


def answer(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What a filter says to a system call: classic BPF, as far as a filter needs it."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(arguments + (0,) * 6)[:6])
    at = value = 0
    while True:
        code, if_true, if_false, constant = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, constant)
        elif code == 0x54:
            value &= constant
        elif code == 0x06:
            return constant
        else:
            holds = {0x15: value == constant, 0x35: value >= constant, 0x45: value & constant}[code]
            at += if_true if holds else if_false


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def column(machine: str) -> int:
    return int(executor.ARCHITECTURES[machine][0])


def asker(machine: str, log: bool = False) -> Ask:
    architecture = executor.ARCHITECTURES[machine][1]
    program = executor.seccomp_filter(machine, log)
    assert len(program) // 8 <= 4096  # as many instructions as the kernel takes

    def ask(number: int, *arguments: int) -> int:
        return answer(program, architecture, number, *arguments)

    return ask


@pytest.fixture
def ask(machine: str) -> Ask:
    return asker(machine)


# Its numbers are checked below, against the kernel's own headers.
NUMBERS = {
    "clone": (56, 220), "ioctl": (16, 29), "fcntl": (72, 25), "socket": (41, 198),
    "socketpair": (53, 199), "setsockopt": (54, 208), "prlimit64": (302, 261),
    "close_range": (436, 436), "read": (0, 63), "memfd_create": (319, 279), "mincore": (27, 232),
}  # fmt: skip


def test_the_filter(machine: str, column: int, ask: Ask) -> None:
    eperm = refused(errno.EPERM)
    for name, numbers in executor.DENIED.items():
        assert ask(numbers[column]) == eperm, name
    clone, ioctl, prlimit = (NUMBERS[name][column] for name in ("clone", "ioctl", "prlimit64"))
    assert ask(clone, 0x00010F00) == ALLOW  # a thread
    assert ask(clone, 0x00010B00) == eperm  # a thread with descriptors of its own
    assert ask(clone, 0x10000000 | signal.SIGCHLD) == eperm  # a user namespace
    assert ask(435) == refused(errno.ENOSYS)  # clone3
    assert [ask(436, 3, 9, flags) for flags in (0, 4, 2, 6)] == [ALLOW, ALLOW, eperm, eperm]
    assert [ask(prlimit, pid) for pid in (0, 1, 7)] == [ALLOW, eperm, eperm]
    assert ask(ioctl, 0, 0x5401) == ALLOW
    assert ask(ioctl, 0, 0x5412) == ask(ioctl, 0, 0x541C) == eperm
    assert [ask(NUMBERS[name][column]) for name in ("read", "memfd_create", "mincore")] == [
        ALLOW
    ] * 3
    assert answer(executor.seccomp_filter(machine), 0x40000003, 20) == KILL  # i386
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
    assert answer(executor.seccomp_filter(machine), executor.ARCHITECTURES[other][1], 0) == KILL


def test_x32_and_what_later_kernels_add_do_not_pass_by(ask: Ask, machine: str) -> None:
    if machine == "x86_64":
        assert ask(0x40000000) == ask(0x40000000 + 41) == KILL
        assert ask(520) == refused(errno.ENOSYS)  # x32's execve, without its mark
    assert ask(469) == ALLOW
    assert ask(470) == ask(999) == refused(errno.ENOSYS)


NONE, CLOEXEC = 0, socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
INET, INET6, UNIX, NETLINK = 2, 10, 1, 16


@pytest.mark.parametrize(
    "arguments",
    [
        *[(UNIX, kind | flags, 0) for kind in (STREAM, DGRAM, SEQPACKET) for flags in (0, CLOEXEC)],
        *[(family, STREAM, protocol) for family in (INET, INET6) for protocol in (0, 6)],
        *[(family, DGRAM | CLOEXEC, protocol) for family in (INET, INET6) for protocol in (0, 17)],
        (NETLINK, RAW, 0),
        (NETLINK, DGRAM | CLOEXEC, 0),
    ],
)
def test_a_socket_that_programs_may_have(
    ask: Ask, column: int, arguments: tuple[int, int, int]
) -> None:
    assert ask(NUMBERS["socket"][column], *arguments) == ALLOW


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        *[((family, STREAM, protocol), errno.EPROTONOSUPPORT)
          for family in (INET, INET6)
          for protocol in (1, 17, 132, 136, 256, 262, 255)],  # SCTP, UDP-Lite, SMC, MPTCP
        *[((family, DGRAM, protocol), errno.EPROTONOSUPPORT)
          for family in (INET, INET6)
          for protocol in (1, 6, 58, 115, 136, 262)],  # ping, L2TP, UDP-Lite
        *[((family, kind | flags, 0), errno.ESOCKTNOSUPPORT)
          for family in (INET, INET6)
          for kind in (RAW, 4, SEQPACKET, 6, 10)  # DCCP, packets
          for flags in (0, CLOEXEC)],
        *[((NETLINK, RAW, protocol), errno.EPROTONOSUPPORT) for protocol in range(1, 23)],
        *[((family, STREAM, 0), errno.EAFNOSUPPORT)
          for family in range(47) if family not in (UNIX, INET, INET6, NETLINK)],
    ],
)  # fmt: skip
def test_a_socket_that_they_may_not(
    ask: Ask, column: int, arguments: tuple[int, int, int], error: int
) -> None:
    assert ask(NUMBERS["socket"][column], *arguments) == refused(error)


def test_pairs_are_of_one_family(ask: Ask, column: int) -> None:
    pair = NUMBERS["socketpair"][column]
    for kind in (STREAM, DGRAM | CLOEXEC, SEQPACKET):
        assert ask(pair, UNIX, kind, 0) == ALLOW
    for family in set(range(47)) - {UNIX}:
        assert ask(pair, family, STREAM, 0) == refused(errno.EAFNOSUPPORT)


def test_no_protocol_on_top_of_tcp(ask: Ask, column: int) -> None:
    setsockopt = NUMBERS["setsockopt"][column]
    assert ask(setsockopt, 3, 6, 31) == refused(errno.ENOPROTOOPT)  # TCP_ULP
    assert ask(setsockopt, 3, 6, 1) == ask(setsockopt, 3, 1, 31) == ALLOW  # TCP_NODELAY, SOL_SOCKET


def test_the_upper_half_of_an_argument_hides_nothing(ask: Ask, column: int) -> None:
    """The kernel takes an int; a program may put anything above it."""
    high = 1 << 32
    assert ask(NUMBERS["socket"][column], high + INET, high + STREAM, high + 262) == refused(
        errno.EPROTONOSUPPORT
    )
    assert ask(NUMBERS["fcntl"][column], 3, high + 1026) == refused(errno.EPERM)


def test_nobody_is_told_who_opens_which_file(ask: Ask, column: int) -> None:
    fcntl = NUMBERS["fcntl"][column]
    assert ask(fcntl, 3, 1026) == ask(fcntl, 3, 1024) == refused(errno.EPERM)  # dnotify, leases
    # F_GETFD, F_SETFL, F_SETLK, F_SETOWN, F_SETSIG, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_ADD_SEALS
    for order in (1, 4, 6, 8, 10, 1030, 1031, 1033):
        assert ask(fcntl, 3, order) == ALLOW


# --- With --seccomp-log ------------------------------------------------------------------


def test_what_is_neither_refused_nor_usual_is_logged_and_done(machine: str, column: int) -> None:
    ask, plain = asker(machine, log=True), asker(machine)
    usual = set(executor.usual_numbers(column).values())
    looked_at = {numbers[column] for numbers in NUMBERS.values()}
    for number in range(480):
        if plain(number) == ALLOW and number not in looked_at:
            assert ask(number) == (ALLOW if number in usual else LOG), number
        elif number not in looked_at:
            assert ask(number) == plain(number)
    assert looked_at <= usual | {NUMBERS["mincore"][column]}
    sysv = {"x86_64": 65, "aarch64": 193}[machine]  # semop
    assert ask(sysv) == LOG


# --- Their numbers -----------------------------------------------------------------------

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def test_their_numbers_are_the_kernels(machine: str, column: int) -> None:
    """For the calls that the headers here know; they may be older."""
    if not HEADERS[machine].exists():
        pytest.skip("needs the kernel's headers: apt install linux-libc-dev")
    text = HEADERS[machine].read_text()
    known = {
        {"fstatat": "newfstatat"}.get(name, name): int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", text)
    }
    tables = {
        **{name: numbers[column] for name, numbers in executor.DENIED.items()},
        **{name: numbers[column] for name, numbers in NUMBERS.items()},
        **executor.usual_numbers(column),
    }
    if machine == "aarch64":
        assert tables.pop("inotify_init") == known["inotify_init1"]
    wrong = {name: n for name, n in tables.items() if name in known and known[name] != n}
    assert wrong == {}
    assert sum(name in known for name in tables) > 200


def test_no_call_is_both_refused_and_usual(column: int) -> None:
    refused_numbers = {numbers[column] for numbers in executor.DENIED.values()}
    assert not refused_numbers & set(executor.usual_numbers(column).values())


def test_a_machine_without_a_filter_is_refused() -> None:
    with pytest.raises(executor.BadSetup, match="no system call filter for a vax"):
        executor.seccomp_filter("vax")
