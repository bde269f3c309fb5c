"""What the executor's exit status says."""

from __future__ import annotations

STOPPED = 0  # as asked
REFUSED = 1  # by the queue
WRONG_USAGE = 2  # or setup
FAILED = 70  # a fault of its own
