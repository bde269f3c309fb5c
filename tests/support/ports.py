"""Ports for the servers of tests."""

import contextlib
import itertools
import random
import socket

# Below those that Linux gives to connections (from 32768): else a connection of another test could
# have a port before the server that it was found for listens. Each process has some of its own.
_PORTS = itertools.cycle(random.SystemRandom().sample(range(10_000, 32_000), 2_000))


def free_port() -> int:
    """One that nobody listens on now, and that no connection is given."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("cycle() never ends")
