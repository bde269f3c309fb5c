"""The executor's own log, on standard error."""

from __future__ import annotations

import time

from handouts.client.words import warn


def say(message: str) -> None:
    """One line, with the time."""
    warn(time.strftime("%Y-%m-%d %H:%M:%S ") + message)


class TroubleLog:
    """What keeps this executor from getting jobs; each try would otherwise repeat the line."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, message: str) -> None:
        """One line, unless it is the one that was said last."""
        if message != self._last:
            self._last = message
            say(message)

    def retrying(self, error: object) -> None:
        """The same, for an error after which the request is sent again."""
        self.say(f"{str(error).rstrip('.')}; trying again.")

    def over(self) -> None:
        """The queue answers; said once after trouble."""
        if self._last:
            self._last = ""
            say("The queue answers again.")


TROUBLE_LOG = TroubleLog()
