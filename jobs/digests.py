"""Digests by which a repeated request is known."""

import hashlib
import json
from typing import Any


def digest_of(members: dict[str, Any]) -> str:
    """SHA-256 in hex of a JSON object, whatever the order of its members; bytes count as hex."""
    plain = {k: v.hex() if isinstance(v, bytes) else v for k, v in members.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
