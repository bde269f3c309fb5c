"""How long to wait between tries."""

from __future__ import annotations

import os
from collections.abc import Iterator


def delays(minimum: float = 0.5, maximum: float = 10.0) -> Iterator[float]:
    """Seconds to wait between tries: exponential backoff, with jitter, so that not all clients
    come back at the same moment."""
    while True:
        jitter = os.urandom(1)[0] / 255  # to import random would take longer
        yield minimum * (0.5 + jitter / 2)
        minimum = min(maximum, minimum * 2)
