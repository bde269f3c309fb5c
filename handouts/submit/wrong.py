"""What --doctor finds."""

from __future__ import annotations


class Wrong(Exception):
    """Something is wrong: what, what mends it, and the exit status that it would lead to."""

    def __init__(self, what: str, mend: str, status: int) -> None:
        super().__init__(what)
        self.mend = mend
        self.status = status
