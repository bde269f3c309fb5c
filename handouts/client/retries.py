"""How long to wait between tries."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(minimum: float = 0.5, maximum: float = 10.0) -> Iterator[float]:
    """Seconds to wait between tries: exponential backoff, with jitter, so that not all clients
    come back at the same moment."""
    while True:
        yield minimum * random.uniform(0.5, 1.0)
        minimum = min(maximum, minimum * 2)
