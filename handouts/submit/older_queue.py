"""What a queue that is older than this program passes over, and what becomes of the job."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from handouts.submit.as_typed import as_typed
from handouts.submit.c_includes import CODE_ENDINGS
from handouts.submit.stop import REFUSED, Stop

# What an older queue does not know, and what is said of that.
NEWER = {
    "sources": "it takes one file only",
    "includes": "it takes one file only",
    "flags": "it takes no flags",
    "platform": "it knows no platforms",
    "asm": "it knows no --asm",
}
# The member of a job that a queue shows if it takes the member of a submission.
SHOWN = {"sources": "files", "includes": "files", "flags": "flags", "platform": "platform"}


def left_out(job: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """Which members of the submission an older queue passed over in silence."""
    return [key for key in NEWER if key in body and SHOWN.get(key, "files") not in job]


def is_wrong_without(members: list[str], body: dict[str, Any]) -> bool:
    """Whether the program cannot be right without these members."""
    needed = {key for key in members if key != "asm"}
    if body.get("platform") == default_platform(body["filename"]):
        needed.discard("platform")
    return bool(needed)


def default_platform(filename: str) -> str:
    """Where the queue runs a program that asks for no platform."""
    ending = posixpath.splitext(filename)[1].lower()
    on_cpu = ending == ".py" or (ending in CODE_ENDINGS and ending != ".cu")
    return "cpu" if on_cpu else "cuda"


def call_off(
    job: dict[str, Any], members: list[str], cancel: Callable[[int], dict[str, Any]]
) -> Stop:
    """Cancels a job that would run as something else; the error to be raised."""
    number = job["id"]
    try:
        state = cancel(number)["state"]
        ending = f"Job {number} is {'cancelled' if state == 'cancelled' else 'told to stop'}."
    except Stop as stop:
        ending = (
            f"Job {number} could not be cancelled: {str(stop).rstrip('.')}. "
            f"Try: {as_typed('--cancel', str(number))}"
        )
    return Stop(REFUSED, f"{older_queue(members)} {ending}")


def older_queue(members: list[str]) -> str:
    """Says what the queue does not take."""
    words = sorted({NEWER[key] for key in members}, reverse=True)
    return f"This queue is older than this submit.py: {', '.join(words)}."
