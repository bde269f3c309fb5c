"""What a native thread has open, and closes with itself: a server's threads come and go for a year.

Python closes no descriptor by itself, and a connection only as its garbage collector comes to it
(the connection and its kept statements refer to each other).
"""

import os
import sqlite3


class TurnFile:
    """A file whose lock says whose turn it is to write."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self.descriptor = -1  # for `__del__`, should it not open
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class OpenDatabase:
    """A connection. A fork's child leaves it to its parent: closing it would change its files."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._pid = os.getpid()

    def __del__(self) -> None:
        if self._pid == os.getpid():
            self.connection.close()
