"""A connection to the queue whose held request another thread can end."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress

from handouts.client.auth import Auth
from handouts.client.connection import Queue


class HeldConnection(Queue):
    """The queue holds a claim open until there is a job; `hang_up` ends that wait."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._hung_up = False

    def hang_up(self) -> None:
        """Breaks the connection under a waiting request; no other opens until `pick_up`."""
        self._hung_up = True
        held = self._connection
        if held is not None and held.sock is not None:
            with suppress(OSError):
                # Not SSLSocket's own, which takes the TLS object from under the waiting thread.
                socket.socket.shutdown(held.sock, socket.SHUT_RDWR)

    def pick_up(self) -> None:
        """Makes it usable again."""
        self._hung_up = False

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        if not self._hung_up:
            connection = super()._open(timeout)
        if self._hung_up:  # perhaps while it was opened
            self.close()
            raise OSError("it was hung up")
        return connection
