"""Whether this host has a GPU for the next job."""

from __future__ import annotations

import threading


class GpuStatus:
    """Set by the execution workers, read by the compile workers and the heartbeat."""

    def __init__(self, has_gpus: bool) -> None:
        """Without GPUs (--no-gpu) none is needed."""
        self.can_run = threading.Event()
        if not has_gpus:
            self.can_run.set()
        self.is_unreported = False  # the queue has to be sent the state of the GPUs
