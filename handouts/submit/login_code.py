"""A log-in code: where the queue is, which certificate it has, and a secret, in one word.

The queue makes it (accounts/login_code_text.py).
"""

from __future__ import annotations

import re

from handouts.submit.stop import WRONG_USAGE, Stop

CODE_BEGINNING = "tlrc_"
SECRET_SIZE = PIN_SIZE = 16
CHECK_SIZE = 3
WITHOUT_PIN, WITH_PIN = 1, 2


class LoginCode:
    """The whole word; `server` is an address with https://, `pin` the beginning of the SHA-256 of
    its certificate, empty where the system is to trust it."""

    def __init__(self, text: str, server: str, pin: bytes) -> None:
        self.text = text
        self.server = server
        self.pin = pin


def read_code(text: str) -> LoginCode:
    """Takes a code apart, however it was broken into lines. Raises Stop if it is mistyped."""
    word = re.sub(r"[\s\ufeff]+", "", text).lower()
    body = checked_bytes(word[len(CODE_BEGINNING) :])
    place = 1 + SECRET_SIZE + (PIN_SIZE if body[:1] == bytes([WITH_PIN]) else 0)
    host = host_in(body[place:])
    if not word.startswith(CODE_BEGINNING) or not host:
        raise Stop(
            WRONG_USAGE,
            "This is no log-in code: it is mistyped or cut off. It begins with "
            f"{CODE_BEGINNING} and is one word of about 100 letters and digits; copy it whole.",
        )
    return LoginCode(word, "https://" + host, body[1 + SECRET_SIZE : place])


def host_in(packed: bytes) -> str:
    """The address that stands there, after a byte with its length; empty if it is not just that."""
    host = packed[1:]
    return host.decode("ascii") if host.isascii() and packed[:1] == bytes([len(host)]) else ""


def checked_bytes(packed: str) -> bytes:
    """What the letters stand for, without the sum at its end; empty if they are mistyped."""
    import base64  # only here, since it takes time to import
    import hashlib

    try:
        data = base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))
    except ValueError:
        return b""
    body, check = data[:-CHECK_SIZE], data[-CHECK_SIZE:]
    is_whole = len(body) > 1 + SECRET_SIZE and hashlib.sha256(body).digest()[:CHECK_SIZE] == check
    return body if is_whole and body[0] in (WITHOUT_PIN, WITH_PIN) else b""
