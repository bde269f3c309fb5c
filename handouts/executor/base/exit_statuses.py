"""What the executor's exit status says."""

from __future__ import annotations

STOPPED = 0  # as asked
REFUSED = 1  # by the queue
WRONG_USAGE = 2  # or setup
FAILED = 70  # a fault of its own
NOT_READY = 75  # the driver is not up yet; EX_TEMPFAIL of sysexits(3)
