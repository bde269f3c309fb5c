"""Who acts at this moment, and from which address: what is recorded meanwhile says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

COMMAND = "command"  # the name of who runs a command on the queue's machine


class Actor(NamedTuple):
    """A person at a page, or a command."""

    name: str
    address: str | None = None  # None: nobody came over the network


_COMMAND = Actor(COMMAND)
_now: ContextVar[Actor] = ContextVar("actor", default=_COMMAND)


def now() -> Actor:
    """Who acts; a command where nobody said otherwise."""
    return _now.get()


@contextmanager
def acting(name: str, address: str | None = None) -> Iterator[None]:
    """Whatever is done inside, `name` does."""
    token = _now.set(Actor(name, address))
    try:
        yield
    finally:
        _now.reset(token)
