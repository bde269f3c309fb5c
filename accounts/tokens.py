"""Bearer tokens: making them, recognising them, and the digest that is stored.

A token is `PREFIX` + 30 random base-62 characters (178 bits) + 6 characters of checksum.
The prefix lets a secret scanner match a leaked one and tells the two kinds apart; the
checksum (CRC-32 of what stands before it, in base 62) tells a mistyped token from a
revoked one without asking the database.
"""

import hashlib
import re
import secrets
import string
import zlib

USER_PREFIX = "tlru_"
EXECUTOR_PREFIX = "tlre_"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 30
_CHECKSUM_LENGTH = 6
_SHAPE = re.compile(
    rf"({USER_PREFIX}|{EXECUTOR_PREFIX})[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}"
)


def make(prefix: str) -> str:
    """A new token of the kind that `prefix` names. Show it once; store `digest(token)`."""
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Whether `token` has the shape and the checksum of a token of either kind."""
    if not _SHAPE.fullmatch(token):
        return False
    body, checksum = token[:-_CHECKSUM_LENGTH], token[-_CHECKSUM_LENGTH:]
    return secrets.compare_digest(checksum, _checksum(body))


def digest(token: str) -> str:
    """SHA-256 of the token in hex, the only form in which it is stored.

    A plain hash is enough: unlike a password, 178 random bits cannot be guessed.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(_CHECKSUM_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(reversed(characters))
