"""Waiting for a job to change, or for one to come: held requests and streams of events.

Who waits for what is in `waiters`, where the news comes from in `feeds`, who wakes in `watcher`.
A waiter that was woken looks for itself: a wake-up too many costs a look, and one that was lost a
few seconds. While it waits it has no transaction and no connection to the database.
"""

import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from django.conf import settings
from django.http import HttpRequest

from foundation.database import connections
from foundation.serving import greenlets
from foundation.serving.feeds import Change, announce
from foundation.serving.waiters import (
    MINIMUM_LOOK_SECONDS,
    QUEUE,
    Waiter,
    Waiters,
    stopping,
)
from foundation.serving.watcher import Watcher

__all__ = [
    "QUEUE", "Wait", "announce", "anybody", "begin", "is_read", "stop", "stopping", "until", "wake",
    "wake_readers",
]  # fmt: skip

_WOKEN_AT_ONCE = 20  # each of them looks, and others have their turn between
_WOKEN_EVERY_SECONDS = 0.05

T = TypeVar("T")

MAX_LOOK_SECONDS = 10.0  # from one look of who reads output to the next


def stop() -> None:
    """Ends all waits of this process, now and from now on."""
    stopping.set()
    _waiters.wake_all()


def anybody() -> bool:
    """Whether anyone waits in this process."""
    return _waiters.count > 0


def wake(job_ids: Iterable[int]) -> None:
    """Those who wait in this process for one of these jobs look, some at a time.

    It is for what no transition announces. Takes 2.5 seconds for a thousand.
    """
    awaited = [job_id for job_id in job_ids if _waiters.are_waiting_for(job_id)]
    for number, job_id in enumerate(awaited, start=1):
        _waiters.wake(Change(job_id))
        if number % _WOKEN_AT_ONCE == 0 and stopping.wait(_WOKEN_EVERY_SECONDS):
            return


def until(
    look: Callable[[], T | None],
    seconds: float,
    request: HttpRequest,
    topic: int,
    user: int | None = None,
    platforms: Collection[str] = (),
    platform_of: Callable[[T], str] = str,
) -> T | None:
    """Calls `look` until it returns something, and returns that; None after `seconds`.

    It looks again when something happened to `topic`, a job's id or QUEUE (then a job of one of
    the `platforms` waits; `platform_of` says which one what was found is of), and now and then.
    Also None as soon as the client of `request` hung up or this server stops. `look` is
    called at least once, and never for a client that has hung up. Raises TooMuchAtOnce where too
    many of the user's requests wait.
    """
    deadline = time.monotonic() + min(seconds, settings.TELERUN_MAX_WAIT_SECONDS)
    if seconds <= 0:
        return look()
    with begin(request, topic, user, platforms) as wait:
        while True:
            if (found := wait.look(look, platform_of)) is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not wait.sleep(left):
                return None


@contextlib.contextmanager
def begin(
    request: HttpRequest,
    topic: int,
    user: int | None = None,
    platforms: Collection[str] = (),
    *,
    reads_output: bool = False,
) -> Iterator["Wait"]:
    """Inside it nothing that happens to `topic` is missed; with `reads_output` also nothing that
    the job's program prints. Raises TooMuchAtOnce."""
    watcher = _running_watcher()
    client = request.META.get("gunicorn.socket")
    waiter = Waiter(topic, client, user, platforms, reads_output=reads_output)
    with _waiters.waiting(waiter):
        watcher.watch(waiter)
        try:
            yield Wait(waiter)
        finally:
            watcher.unwatch(waiter)


class Wait:
    """The wait of one client."""

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
        self._due_at = 0.0

    def is_due(self) -> bool:
        """Whether to look at the topic: it changed since this was asked, or that is long ago.

        Those who came at the same moment do not go on looking at the same moment.
        """
        now = time.monotonic()
        changed, self._waiter.changed = self._waiter.changed, False
        if not changed and now < self._due_at:
            return False
        seconds = min(_waiters.look_seconds(), MAX_LOOK_SECONDS)
        self._due_at = now + seconds * random.uniform(0.75, 1.0)  # noqa: S311
        return True

    def look(self, look: Callable[[], T | None], platform_of: Callable[[T], str] = str) -> T | None:
        """What `look` finds; `platform_of` says of a job that was taken which platform's it was.

        Who was woken for a job and takes none, or another one, lets the next one look.
        """
        woken_for = _waiters.begins_to_look(self._waiter)
        found = None
        try:
            found = look()
        except Exception:
            self._due_at = time.monotonic() + MINIMUM_LOOK_SECONDS  # what changed is not seen yet
            raise
        finally:
            if found is not None and woken_for:
                woken_for.discard(platform_of(found))
            _waiters.pass_on(woken_for)
        return found

    def sleep(self, seconds: float) -> bool:
        """Until it is time to look, or `seconds` are over; False when nobody waits any longer."""
        connections.release()
        until_due = self._due_at - time.monotonic()
        pause = until_due if until_due > 0 else _waiters.look_seconds()
        self._waiter.woken.wait(min(seconds, pause))
        return not (stopping.is_set() or self._waiter.hung_up)


def is_read(job_id: int) -> bool:
    """Whether a stream of this process shows what the job's program prints."""
    return _waiters.is_read(job_id)


def wake_readers(job_id: int) -> bool:
    """Wakes these streams; whether there are any."""
    return _waiters.wake_readers(job_id)


_waiters = Waiters()
_watcher: Watcher | None = None
_starting = greenlets.Lock()


def _running_watcher() -> Watcher:
    global _watcher  # noqa: PLW0603
    with _starting:
        if _watcher is None or not _watcher.runs_here():
            _watcher = Watcher(_waiters)
        return _watcher
