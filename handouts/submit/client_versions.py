"""Which submit.py is newer: this one, or the one that the queue hands out."""

from __future__ import annotations

import re
from typing import Any

from handouts.client.answer import Answer
from handouts.client.connection import VERSION

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
