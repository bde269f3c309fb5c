"""Something happens in another thread, while a test waits for it."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection


def later(seconds: float, function: Callable[[], Any]) -> threading.Thread:
    """Calls it after a while, in a thread with a connection to the database of its own."""

    def run() -> None:
        time.sleep(seconds)
        function()
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
