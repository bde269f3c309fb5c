"""Which jobs this host has room for."""

from __future__ import annotations

import threading

from handouts.executor.machine.platforms import CUDA
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.held_claims import Claim
from handouts.executor.pipeline.places import free_places
from handouts.executor.pipeline.workers import Worker


class Room:
    """The workers, the jobs that were claimed for them, and the claims under way, behind one lock:
    what is claimed counts at once."""

    def __init__(self, workers: list[Worker], ahead: int) -> None:
        """`ahead`: how many jobs may wait for the workers of a kind while all of them work."""
        self.workers = workers
        self.changed = threading.Condition()  # and the lock of all that is here
        self.knows_platforms = True  # the queue does: an older one gives jobs for `cuda` alone
        self._ahead = ahead
        self._claims: list[Claim] = []
        self._untaken: list[Attempt] = []
        self._is_closed = False

    @property
    def can_run(self) -> bool:
        """Whether any worker may have jobs."""
        return any(worker.works for worker in self.workers)

    def wait(self, claim: Claim) -> None:
        """Returns once there is room for a job that nobody else asks for, or none is wanted."""
        with self.changed:
            self._join(claim)
            while not self._is_closed and not self._free_for(claim, self._claims):
                self.changed.wait()

    def begin(self, claim: Claim) -> dict[str, int]:
        """What the claim's next request is to name: free places by platform; {} for no request.

        From now on that request is hung up when it is out of date.
        """
        with self.changed:
            self._join(claim)
            free = {} if self._is_closed else self._free_for(claim, self._claims)
            if free:
                claim.begin(set(free))
            return free

    def _join(self, claim: Claim) -> None:
        claim.is_waiting = True
        if claim not in self._claims:
            self._claims.append(claim)

    def over(self, claim: Claim) -> None:
        """Its request is over."""
        with self.changed:
            claim.over()

    def end(self, claim: Claim) -> None:
        """It brought no job. Whoever made it is about to make another."""
        with self.changed:
            if claim in self._claims:
                claim.over()
                self._claims.remove(claim)
                self.changed.notify_all()

    def add(self, claim: Claim, attempt: Attempt, knows_platforms: bool) -> None:
        """The claim brought this job."""
        with self.changed:
            claim.over()
            self._claims.remove(claim)
            self._untaken.append(attempt)
            self.knows_platforms = knows_platforms
            self.update()

    def remove(self, attempt: Attempt) -> None:
        """It waits for no worker any more: one has it, or it is given up."""
        with self.changed:
            if attempt in self._untaken:
                self._untaken.remove(attempt)
            self.update()

    def close(self) -> None:
        """No more jobs are claimed."""
        with self.changed:
            self._is_closed = True
            for claim in self._claims:
                claim.hang_up()
            self.changed.notify_all()

    def update(self) -> None:
        """Something has changed: those who wait look again, and claims that are out of date are
        made anew."""
        with self.changed:
            self.changed.notify_all()
            for number in reversed(range(len(self._claims))):
                # Those before it stay: what is left when they are answered is what it may name.
                claim = self._claims[number]
                if not claim.named <= set(self._free_for(claim, self._claims[:number])):
                    claim.hang_up()
            self._name_what_nobody_names()

    def _name_what_nobody_names(self) -> None:
        """A platform that got room is named by a claim that waits, if there is one: to hang up
        another costs it its connection."""
        free = [(claim, set(self._free_for(claim, self._claims))) for claim in self._claims]
        named = {name for claim in self._claims for name in claim.named}
        named.update(name for claim, names in free if claim.is_coming for name in names)
        for claim, names in free:
            if claim.named and not names <= named:
                claim.hang_up()
                break

    def _free_for(self, claim: Claim, claims: list[Claim]) -> dict[str, int]:
        """The places that are free, whatever the other ones of `claims` bring."""
        pending = [other.may_bring for other in claims if other is not claim]
        untaken = [one.platform for one in self._untaken if not one.taken.is_set()]
        free = free_places(self.workers, self._ahead, untaken, pending)
        if not self.knows_platforms:
            return {name: count for name, count in free.items() if CUDA in free}
        return free
