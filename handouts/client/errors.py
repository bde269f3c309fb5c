"""What can go wrong on the way to the queue."""

from __future__ import annotations


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""

    def __init__(
        self, message: str, timed_out: bool = False, status: int = 0, was_sent: bool = True
    ) -> None:
        super().__init__(message)
        self.was_sent = was_sent  # the request, or a part of it: it may have been acted upon
        self.timed_out = timed_out  # it was connected, and nothing came
        self.status = status  # of an answer that is not the queue's; 0 if there was none


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""

    def __init__(self, message: str, what: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.what = what or message  # is wrong with the certificate
        self.mend = mend
