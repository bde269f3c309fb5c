"""Whether this is the submit.py that the queue hands out, for --doctor."""

from __future__ import annotations

from pathlib import Path

from handouts.client.answer import Answer
from handouts.submit.client_versions import numbers_of
from handouts.submit.stop import WRONG_USAGE
from handouts.submit.wrong import Wrong


def about_own_version(own: str, answer: Answer, server: str) -> str:
    """Which of the two is newer, or whether this one was changed. Raises Wrong."""
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
