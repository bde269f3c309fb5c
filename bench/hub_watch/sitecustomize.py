"""For a server that is measured, by PYTHONPATH: how long its hub's greenlets waited for a turn.

In each process that the server forks a native thread asks the hub, again and again, to call it
back, and writes down what took longest: "MILLISECONDS where the hub was" into HUB_WATCH/PID.
"""

import os
import sys
import threading
import time
import traceback

ASK_SECONDS = 0.01
LOOK_SECONDS = 0.02  # after so long without an answer it looks where the hub is
_Thread, _Event = threading.Thread, threading.Event


def watch() -> None:
    from gevent import get_hub

    _Thread(target=_ask, args=(get_hub(), threading.main_thread().ident), daemon=True).start()


def _ask(hub: object, main: int) -> None:
    longest = 0.0
    while True:
        time_was, answered, where = time.monotonic(), _Event(), ""
        hub.loop.run_callback_threadsafe(answered.set)  # type: ignore[attr-defined]
        while not answered.wait(LOOK_SECONDS):
            frames = traceback.extract_stack(sys._current_frames()[main])[-6:]
            where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
        took = 1000 * (time.monotonic() - time_was)
        if took > longest:
            longest = took
            with open(f"{os.environ['HUB_WATCH']}/{os.getpid()}", "w") as file:
                file.write(f"{took:.1f} {where}")
        _Event().wait(ASK_SECONDS)


if "HUB_WATCH" in os.environ:
    os.register_at_fork(after_in_child=watch)
