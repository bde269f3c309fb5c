"""Greenlets, and the native threads beside them (gevent).

The server handles each connection in a greenlet of its own, all of a process in one thread: the
hub's. What waits for a socket lets others go on; **what does not wait stops everyone**. So what
takes long without waiting for a socket (a password's hash, a page of the admin, a large JSON
document, a lock on a file) goes to the process's native threads by `in_a_thread`.

Locks stay Python's own: libraries share theirs between the hub and native threads, and gevent's
lose wake-ups between the two. So nobody may hold one while other greenlets go on; what greenlets
wait for each other with is made here (`Event`, `Lock`).

Commands and tests have no greenlets. There the same code runs in ordinary threads.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent.event
import gevent.local
import gevent.lock
from gevent import get_hub, monkey

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8  # native threads of a process

NativeLocal = threading.local  # of each native thread, not of each greenlet
_native_sleep = time.sleep
_native = NativeLocal()
_patched = False
_hub: Any = None  # of the server's process, once it has native threads


def patch() -> None:
    """From now on what waits in Python's own library lets other greenlets go on.

    To be called by the server alone, and before anything else is imported.
    """
    global _patched  # noqa: PLW0603
    monkey.patch_all(thread=False, queue=False)
    # A greenlet's own, as Django's connections: what is one thread's would be all greenlets'.
    threading.local = gevent.local.local  # type: ignore[misc]
    _patched = True


def are_used() -> bool:
    """Whether this process has greenlets, so that what waits must wait for the hub."""
    return _patched


def in_native_thread() -> bool:
    """Whether the caller runs beside the hub, or there is none: it may stop its own thread."""
    return not _patched or getattr(_native, "is_one", False)


def Event() -> Any:  # noqa: N802  (as threading has it)
    """What greenlets wait for; threads, where there are none. Set it on the hub."""
    return gevent.event.Event() if _patched else threading.Event()


def Lock() -> Any:  # noqa: N802
    """What one greenlet at a time has, also while others go on. For the hub alone."""
    return gevent.lock.Semaphore(1) if _patched else threading.Lock()


def Slots(count: int) -> Any:  # noqa: N802
    """What so many greenlets at once have. For the hub alone."""
    return (gevent.lock.Semaphore if _patched else threading.Semaphore)(count)


def spawn(function: Callable[[], Any], name: str) -> "Running":
    """Calls it in a greenlet of its own; in a thread, where there are none."""
    return Running(function, name)


class Running:
    """What `spawn` has begun."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self._greenlet = gevent.spawn(function) if _patched else None
        if self._greenlet is None:
            self._thread = threading.Thread(target=function, name=name, daemon=True)
            self._thread.start()

    def is_alive(self) -> bool:
        """Whether it goes on."""
        if self._greenlet is not None:
            return not self._greenlet.dead
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Waits for its end."""
        (self._greenlet if self._greenlet is not None else self._thread).join(seconds)


def in_a_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` in a native thread, while this greenlet waits for it.

    It has a connection to the database of its own, which it gives up at its end: no transaction
    of the caller's is open in it. Where there is no hub, it is called as it is.
    """
    if in_native_thread():
        return function(*args, **kwargs)
    global _hub  # noqa: PLW0603
    _hub = get_hub()
    _hub.threadpool.maxsize = THREADS
    result, error = _hub.threadpool.apply(_tried, (function, args, kwargs))
    if error is not None:
        raise error
    return result


def _tried(
    function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[T, None] | tuple[None, Exception]:
    """What it returns or raises. gevent would print what a function of its pool raises."""
    from foundation.database import connections

    _native.is_one = True
    try:
        return function(*args, **kwargs), None
    except Exception as error:
        return None, error
    finally:
        connections.release()


def on_the_hub(function: Callable[[], Any]) -> None:
    """Calls it, a moment later if this is a native thread: greenlets may be woken by no other."""
    if _hub is not None and in_native_thread():
        _hub.loop.run_callback_threadsafe(function)
    else:
        function()


def sleep(seconds: float) -> None:
    """`time.sleep`, in greenlets and in native threads alike."""
    (_native_sleep if in_native_thread() else time.sleep)(seconds)
