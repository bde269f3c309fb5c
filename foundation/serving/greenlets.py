"""Greenlets, and the native threads beside them (gevent).

The server handles each connection in a greenlet of its own, all of a process in one thread: the
hub's. What waits for a socket lets others go on; **what does not wait stops everyone**. So what
takes long without waiting for a socket (a password's hash, a page of the admin, a large JSON
document, a lock on a file) goes to the process's native threads by `in_a_thread`.

Commands and tests have no greenlets. There the same code runs in ordinary threads.
"""

import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gevent import get_hub, monkey

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8  # native threads of a process

_native_sleep = monkey.get_original("time", "sleep")
NativeLocal = monkey.get_original("threading", "local")  # of each native thread, not greenlet
_native = NativeLocal()
_hub: Any = None  # of the server's process, once it has native threads


def patch() -> None:
    """From now on what waits in Python's own library lets other greenlets go on.

    To be called by the server alone, and before anything else is imported.
    """
    monkey.patch_all()


def are_used() -> bool:
    """Whether this process has greenlets, so that what waits must wait for the hub."""
    return monkey.is_module_patched("threading")


def in_native_thread() -> bool:
    """Whether the caller runs beside the hub, or there is none: it may stop its own thread."""
    return not are_used() or getattr(_native, "is_one", False)


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
