"""What the exit status says, and how any part of this program ends it."""

from __future__ import annotations

SUCCEEDED = 0
PROGRAM_FAILED = 1
WRONG_USAGE = 2
REFUSED = 3
UNREACHABLE = 4
NO_RESULT = 5
UNSAVED = 6
INTERRUPTED = 130


class Stop(Exception):
    """Ends the program with a message and an exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
