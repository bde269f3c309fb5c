"""What a package needs from one above it, which it must not import."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Hook(Generic[T]):
    """A place for one thing, which the package above registers in its AppConfig's `ready`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._registered: list[T] = []

    def register(self, thing: T) -> None:
        """Sets it, in place of what was registered before."""
        self._registered = [thing]

    def get(self) -> T:
        """What was registered. Raises LookupError if nothing was."""
        if not self._registered:
            raise LookupError(f"Nothing is registered as {self._what}.")
        return self._registered[0]
