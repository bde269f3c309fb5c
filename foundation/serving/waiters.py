"""Who waits for what, in this process."""

import contextlib
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NoReturn

from foundation.database import connections
from foundation.problems import TooMuchAtOnce
from foundation.serving import greenlets

if TYPE_CHECKING:
    from foundation.serving.feeds import Change

QUEUE = 0  # the topic of those who wait for any job; a job's topic is its id

# Waiters look by themselves now and then, for what nobody announces: one's place in the queue.
# Seldom enough that all of a process's looks together stay below LOOKS_A_SECOND.
MINIMUM_LOOK_SECONDS = 1.0
LOOKS_A_SECOND = 20

MAX_OF_USER = 32  # requests that a process holds for one user
# One more is refused; of thousands so few in a second that others are served.
REFUSALS_A_SECOND = 50
MAX_REFUSAL_SECONDS = 20.0

stopping = greenlets.Event()  # set when this server stops: every wait ends at once


class Waiter:
    """Sleeps until something happens to its topic."""

    def __init__(
        self,
        topic: int,
        client: socket.socket | None,
        user: int | None,
        platforms: Collection[str] = (),
        *,
        reads_output: bool = False,
    ) -> None:
        """`platforms`: for the topic QUEUE, of the jobs that it can take. `reads_output`: it is
        also woken for what the job's program prints."""
        self.topic = topic
        self.reads_output = reads_output
        self.changed = True  # its topic did, since this was set to False
        self.user = user
        self.platforms = platforms
        self.socket = client
        self.queued_at_look = 0  # how many jobs had been queued when it last began to look
        self.woken = greenlets.Event()
        self.woken_for: set[str] = set()  # platforms whose jobs nobody else was woken for
        self.hung_up = False


class Waiters:
    """All waiters of this process, by topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[int, dict[Waiter, None]] = defaultdict(dict)  # in order of arrival
        self._of_user: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()  # of a user, those that are not told so yet
        self.count = 0
        self.queued = 0  # how many jobs have begun to wait, since this process was started
        self._last_queued: dict[str, int] = {}  # the last of a platform's among them

    @contextlib.contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[None]:
        """Inside it, the waiter is woken for everything that the feed tells from now on.

        Raises TooMuchAtOnce for one more of a user than MAX_OF_USER: at once, unless hundreds of
        them ask again and again.
        """
        if not self._add(waiter):
            self._refuse(waiter.user)
        try:
            yield
        finally:
            self._remove(waiter)

    def _add(self, waiter: Waiter) -> bool:
        with self._lock:
            if waiter.user is not None:
                if self._of_user[waiter.user] >= MAX_OF_USER:
                    return False
                self._of_user[waiter.user] += 1
            self._waiters[waiter.topic][waiter] = None
            self.count += 1
            return True

    def _refuse(self, user: int) -> NoReturn:
        self._refused[user] += 1
        connections.release()
        try:
            stopping.wait(min(MAX_REFUSAL_SECONDS, self._refused[user] / REFUSALS_A_SECOND))
        finally:
            self._refused -= Counter({user: 1})  # and forgets whom none is left of
        raise TooMuchAtOnce(f"{MAX_OF_USER} requests of yours wait already. Try again later.")

    def _remove(self, waiter: Waiter) -> None:
        with self._lock:
            self.count -= 1
            if waiter.user is not None:
                self._of_user[waiter.user] -= 1
                if not self._of_user[waiter.user]:
                    del self._of_user[waiter.user]
            waiters = self._waiters[waiter.topic]
            del waiters[waiter]
            if not waiters:
                del self._waiters[waiter.topic]
            if waiter.topic == QUEUE and waiter.woken.is_set():
                self._wake_others(waiter.woken_for)  # it leaves, and another can take it

    def look_seconds(self) -> float:
        """How long a waiter may go without looking."""
        return max(MINIMUM_LOOK_SECONDS, self.count / LOOKS_A_SECOND)

    def wake(self, change: "Change") -> None:
        """Wakes those who wait for the job, and, if it waits, one of those who can take it."""
        if change.is_output:
            self.wake_readers(change.job_id)
            return
        with self._lock:
            for waiter in self._waiters.get(change.job_id, ()):
                waiter.changed = True
                waiter.woken.set()
            if change.platform is not None:
                self.queued += 1
                self._last_queued[change.platform] = self.queued
                self._wake_one(change.platform)

    def is_read(self, job_id: int) -> bool:
        """Whether anybody here reads what the job's program prints."""
        with self._lock:
            return any(waiter.reads_output for waiter in self._waiters.get(job_id, ()))

    def wake_readers(self, job_id: int) -> bool:
        """There is more to read; whether anybody here does."""
        with self._lock:
            readers = [w for w in self._waiters.get(job_id, ()) if w.reads_output]
            for waiter in readers:
                waiter.woken.set()
            return bool(readers)

    def are_waiting_for(self, topic: int) -> bool:
        """Whether anyone waits for that."""
        return topic in self._waiters

    def begins_to_look(self, waiter: Waiter) -> set[str]:
        """Later commits wake it anew. For which platforms' jobs it was woken."""
        with self._lock:
            woken_for, waiter.woken_for = waiter.woken_for, set()
            waiter.woken.clear()
            waiter.queued_at_look = self.queued
            return woken_for

    def pass_on(self, platforms: set[str]) -> None:
        """Somebody was woken for jobs of these platforms, and did not take one of each."""
        with self._lock:
            self._wake_others(platforms)

    def _wake_others(self, platforms: set[str]) -> None:
        for platform in platforms:
            self._wake_one(platform)

    def _wake_one(self, platform: str) -> None:
        """The first who can take the platform's jobs and has not looked since the last of them
        was queued: each looks once for it."""
        last = self._last_queued.get(platform, 0)
        for waiter in self._waiters.get(QUEUE, ()):
            is_due = waiter.queued_at_look < last and not waiter.woken.is_set()
            if is_due and platform in waiter.platforms:
                waiter.woken_for.add(platform)
                waiter.woken.set()
                return

    def wake_all(self) -> None:
        """Everyone looks."""
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.changed = True
                    waiter.woken.set()
