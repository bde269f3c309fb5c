"""Claims, which the queue holds open until it has a job."""

from __future__ import annotations

import uuid

from handouts.executor.base.held_connection import HeldConnection


class Claim:
    """Asking for one job, by as many requests as that takes, all with one key."""

    def __init__(self, connection: HeldConnection) -> None:
        self.key = str(uuid.uuid4())
        self.named: set[str] = set()  # the platforms in the request that is under way now
        # Those in any request so far: one that was hung up may have had its answer already.
        self.may_bring: set[str] = set()
        self.is_waiting = False  # for a platform that can be named
        self.was_hung_up = False
        self._connection = connection

    @property
    def is_coming(self) -> bool:
        """Whether its next request is made as soon as there is something to name."""
        return self.is_waiting or self.was_hung_up

    def begin(self, platforms: set[str]) -> None:
        """A request for them is made next."""
        self._connection.pick_up()
        self.is_waiting, self.was_hung_up = False, False
        self.named = platforms
        self.may_bring |= platforms

    def over(self) -> None:
        """The request is over, with or without an answer."""
        self.named = set()

    def hang_up(self) -> None:
        """Ends the request that is under way, also one that has not quite begun."""
        if self.named:
            self.named, self.was_hung_up = set(), True
            self._connection.hang_up()
