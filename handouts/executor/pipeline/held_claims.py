"""Claims that the queue holds open until it has a job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from handouts.executor.base.held_connection import HeldConnection


class HeldClaims:
    """The connections that wait, so that another thread can end their waiting."""

    def __init__(self) -> None:
        self._connections: set[HeldConnection] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, connection: HeldConnection) -> Iterator[None]:
        """While a claim is made on the connection."""
        connection.pick_up()
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def hang_up(self) -> None:
        """Ends all that are held now."""
        with self._lock:
            held = list(self._connections)
        for connection in held:
            connection.hang_up()
