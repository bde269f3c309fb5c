"""A bell that one process rings and others hear."""

import os
import select


class Bell:
    """Heard by every process that was forked after it was made; by nobody where there is no
    eventfd(2), as outside of Linux: listeners look by themselves now and then.

    Nobody reads the descriptor. With EPOLLET each ring wakes each epoll that has it, so one
    ring reaches all processes, and none takes it from another.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        if hasattr(os, "eventfd"):
            self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        if self._descriptor >= 0:
            os.eventfd_write(self._descriptor, 1)

    def wakes(self, poll: "select.epoll") -> bool:
        """From now on a ring ends `poll`'s sleep; False where there are no bells."""
        if self._descriptor >= 0:
            poll.register(self._descriptor, select.EPOLLIN | select.EPOLLET)
        return self._descriptor >= 0
