"""Classic BPF, as seccomp(2) takes it: what filters are put together from."""

from __future__ import annotations

import struct

EQUAL, AT_LEAST, HAS_BITS = 0x15, 0x35, 0x45  # conditions
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD = 0, 4, 16, 24, 32  # offsets: the call, its arguments
INSTRUCTION_BYTES = 8


def load(offset: int) -> bytes:
    """Takes 32 bits of the call's description; of an argument the low half, as the kernel does."""
    return struct.pack("=HBBI", 0x20, 0, 0, offset)


def keep_bits(mask: int) -> bytes:
    """Of what was taken, these bits."""
    return struct.pack("=HBBI", 0x54, 0, 0, mask)


def verdict(what: int) -> bytes:
    """Ends the filter."""
    return struct.pack("=HBBI", 0x06, 0, 0, what)


def refuse(error: int) -> bytes:
    """Ends it: the call fails with this errno."""
    return verdict(0x00050000 | error)


def when(condition: int, value: int, then: bytes) -> bytes:
    """Does `then` if the condition holds of what was taken, and goes on behind it if not."""
    return struct.pack("=HBBI", condition, 0, len(then) // INSTRUCTION_BYTES, value) + then


def unless(condition: int, value: int, then: bytes) -> bytes:
    """The opposite of `when`."""
    return struct.pack("=HBBI", condition, len(then) // INSTRUCTION_BYTES, 0, value) + then
