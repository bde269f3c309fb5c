"""What an executor does with live output: it sends some, and learns whether anybody watches.

It renews no lease and changes no job, and nothing of it waits for the disk or a writer's turn. An
executor that was told that nobody watches may send once a second: so it hears soon of one who does.
"""

import secrets
import time
from typing import NamedTuple

from accounts.models import Executor
from foundation.database.statements import Parameter, Select
from foundation.problems import NotFound, TooMuchAtOnce
from jobs.errors import LeaseLost
from jobs.live import pieces, retention, watching
from jobs.models import Attempt

MAX_BYTES = 128 * 1024  # of a log in one request; half of it is what one should send
MAX_OFFSET = 2**53 - MAX_BYTES  # what every JSON parser counts to
# Requests for one attempt that a process takes: many more than gathering for 0.1 s makes.
BURST = 2000
A_SECOND = 200.0
MAX_KNOWN = 4096

_ATTEMPT = Select(
    Attempt.objects.filter(pk=Parameter("attempt"), executor=Parameter("executor"))
    .order_by().only("job", "lease_token", "ended_at")
)  # fmt: skip


class Output(NamedTuple):
    """Bytes of a log, and where in it they stand."""

    log: str
    offset: int
    content: bytes


def take(executor: Executor, attempt_id: int, lease_token: str, output: Output) -> bool:
    """Keeps what an attempt's program printed; whether anybody watches.

    Raises NotFound, LeaseLost, TooMuchAtOnce.
    """
    attempt = _ATTEMPT.first(attempt=attempt_id, executor=executor.pk)
    if attempt is None:
        raise NotFound(f"There is no attempt {attempt_id} of this executor.")
    if not secrets.compare_digest(attempt.lease_token.encode(), lease_token.encode()):
        raise LeaseLost("The lease token is not this attempt's.")
    if attempt.ended_at is not None:
        raise LeaseLost
    return keep(attempt, output)


def keep(attempt: Attempt, output: Output) -> bool:
    """The same for an attempt whose lease was looked at. Raises TooMuchAtOnce."""
    _rates.count(attempt.pk)
    if output.content and retention.has_room():
        key = pieces.key_of(attempt.lease_token)
        if pieces.append(key, attempt.pk, *output):
            return watching.tell(attempt.job_id)
    return watching.is_watched(attempt.job_id)


class _Rates:
    """How many requests of an attempt came: BURST at once, A_SECOND in the long run."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, float]] = {}

    def count(self, attempt_id: int) -> None:
        """Raises TooMuchAtOnce for one too many."""
        now = time.monotonic()
        left, since = self._left.get(attempt_id, (float(BURST), now))
        left = min(BURST, left + (now - since) * A_SECOND) - 1
        if left < 0:
            raise TooMuchAtOnce("Too much live output of one attempt. Try again in 2 seconds.")
        if len(self._left) >= MAX_KNOWN:
            self._left.clear()
        self._left[attempt_id] = left, now


_rates = _Rates()
