"""What can go wrong on the way to the queue."""

from __future__ import annotations


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""
