"""What people read: one line on standard error, errors and sizes in words."""

from __future__ import annotations

import http.client
import ssl
import sys


def warn(message: str) -> None:
    """One line on standard error. That nobody reads it is no reason to stop."""
    try:  # noqa: SIM105  (importing contextlib takes a millisecond)
        print(message, file=sys.stderr, flush=True)
    except OSError:
        pass


def in_words(error: Exception) -> str:
    """A short, readable form of what a socket or http.client raises."""
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS ({error.reason or error})"
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def in_mib(size: float) -> str:
    """Such as "1.5 MiB"."""
    return f"{size / (1 << 20):.4g} MiB"


def in_size(size: int) -> str:
    """A size, however small, in three digits, as the queue's pages show it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            number = size / unit
            return f"{number:.0f} {name}" if number >= 100 else f"{number:.3g} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"
