"""Which submit.py is newer: this one, or the one that the queue hands out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.client.connection import VERSION
from handouts.submit.stop import WRONG_USAGE
from handouts.submit.wrong import Wrong

VERSION_HEADER = "telerun-client-version"


def numbers_of(version: Any) -> tuple[int, ...]:
    """To compare versions by; empty for what is none."""
    found = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", str(version))
    return tuple(int(part) for part in str(version).split(".")) if found else ()


def hint_at_newer(answer: Answer, server: str) -> str:
    """A line about the newer submit.py that the queue has; "" if it has none."""
    if numbers_of(answer.headers.get(VERSION_HEADER)) > numbers_of(VERSION):
        return f"A newer submit.py is at {server}/submit.py"
    return ""


def about_own_version(own: str, answer: Answer, server: str) -> str:
    """The same for --doctor, which also sees one that was changed. Raises Wrong."""
    if answer.status != 200:
        return f"version {own}; which one this older queue has, it does not say"
    theirs = answer.body.get("version")
    address = f"{server}/submit.py"
    if numbers_of(theirs) > numbers_of(own):
        what = f"version {own} is older than the queue's, {theirs}."
        raise Wrong(what, f"The newer one is at {address}", WRONG_USAGE)
    if numbers_of(theirs) < numbers_of(own):
        return f"version {own}; the queue is older, and may not know all that it can"
    if answer.body.get("sha256") != own_digest():
        return f"version {own}, not quite the one at {address}"
    return f"version {own}, the same as the queue's"


def own_digest() -> str:
    """SHA-256 of this file."""
    import hashlib  # only here, since it takes time to import

    content = Path(__file__).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()
