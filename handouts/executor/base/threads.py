"""Threads whose failure ends the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from handouts.client.tracebacks import traceback_of
from handouts.executor.base.exit_statuses import FAILED
from handouts.executor.base.say import say


def start(function: Callable[..., Any], name: str, *args: Any) -> threading.Thread:
    """A thread that ends this process if it fails: half an executor is worse than none.

    The slots then kill what runs, the queue gives the jobs to others, and the next start
    sends the results that are in the spool.
    """

    def run() -> None:
        try:
            function(*args)
        except BaseException as error:
            say(f"Executor failed in its thread {name!r}:\n{traceback_of(error)}")
            os._exit(FAILED)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def join(threads: list[threading.Thread]) -> None:
    """Waits for threads; in steps, because a bare join() keeps signals from being handled."""
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)
