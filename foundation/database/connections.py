"""Connections to the database, each a thread's own while it works."""

from django.db import connection


def release() -> None:
    """Gives this thread's connection up, before it waits for a client or for a change.

    A thousand waiting requests would otherwise hold a thousand connections.
    """
    connection.close()
