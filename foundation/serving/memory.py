"""The memory that a process has for one bearer: what clients send, and what they fetch slowly."""

import threading
from collections import Counter
from collections.abc import Callable

from django.conf import settings

from foundation.problems import TooMuchAtOnce

Bearer = tuple[str, int]


def bearer(user: object) -> Bearer:
    """Whose memory it is: a user's, an executor's, or that of all who have no token."""
    return type(user).__name__, getattr(user, "pk", None) or 0


class Budget:
    """So many bytes for each bearer at once."""

    def __init__(self, maximum: Callable[[], int], refusal: str) -> None:
        self._refusal = refusal
        self._maximum = maximum
        self._lock = threading.Lock()
        self._taken: Counter[Bearer] = Counter()

    def take(self, whose: Bearer, size: int) -> None:
        """Raises TooMuchAtOnce."""
        with self._lock:
            if self._taken[whose] + size > self._maximum():
                raise TooMuchAtOnce(self._refusal)
            self._taken[whose] += size

    def give_back(self, whose: Bearer, size: int) -> None:
        """What was taken."""
        with self._lock:
            self._taken[whose] -= size
            if not self._taken[whose]:
                del self._taken[whose]


# What a user's clients fetch, on pages and by the API, until they have taken it.
answers = Budget(
    lambda: 2 * settings.TELERUN_MAX_BODY_BYTES,  # two of the largest
    "You are fetching too much at once. Try again in 2 seconds.",
)
