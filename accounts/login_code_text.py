"""The word that a log-in code is. `submit.py` reads it: handouts/submit/login_code.py.

`tlrc_`, and in base 32 (small letters and digits 2 to 7, so that it can be typed, and is one word
for a mouse): a byte that says the kind, 16 random bytes, 16 bytes of the certificate's SHA-256
where it is to be pinned, a byte that says how long the address is, the address without `https://`,
and the first 3 bytes of the SHA-256 of all that, which tell a mistyped code.
"""

import base64
import binascii
import hashlib

PREFIX = "tlrc_"
SECRET_BYTES = PIN_BYTES = 16
CHECK_BYTES = 3
WITHOUT_PIN, WITH_PIN = 1, 2  # the kind


def encode(secret: bytes, address: str, pin: bytes | None) -> str:
    """The code. `address` is such as `queue.example.edu:4443`, at most 255 bytes of ASCII."""
    place = address.encode("ascii")
    body = bytes([WITH_PIN if pin else WITHOUT_PIN]) + secret + (pin or b"")
    body += bytes([len(place)]) + place
    return PREFIX + base64.b32encode(body + _check(body)).decode().rstrip("=").lower()


def digest_of(text: str) -> str:
    """The digest of a code's random bytes, by which it is found; "" if it is mistyped."""
    text = text.strip()
    try:
        packed = text.removeprefix(PREFIX).upper()
        data = base64.b32decode(packed + "=" * (-len(packed) % 8))
    except (binascii.Error, ValueError):
        return ""
    body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if not text.startswith(PREFIX) or len(body) < 1 + SECRET_BYTES or check != _check(body):
        return ""
    return digest(body[1 : 1 + SECRET_BYTES])


def digest(secret: bytes) -> str:
    """What is stored. A plain hash is enough: 128 random bits cannot be guessed."""
    return hashlib.sha256(secret).hexdigest()


def pin_of(certificate: bytes) -> bytes:
    """What a code holds of a certificate in DER. That nobody can make another one with the same
    128 bits is all that is asked of it; that takes 2**128 tries."""
    return hashlib.sha256(certificate).digest()[:PIN_BYTES]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK_BYTES]
