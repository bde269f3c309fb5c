"""What a slot's command prints, asked for piece by piece while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handouts.executor.slot.protocol import Output


class LiveOutput:
    """Whoever wants it does something in `add`, which must not wait: the result comes behind it."""

    def begin(self, ask: Callable[[int], Any]) -> None:
        """The command runs. `ask`, from any thread, is for a piece from that byte on: one comes as
        soon as there is something, and none once the command is over."""

    def add(self, piece: Output) -> None:
        """A piece that was asked for."""

    def end(self) -> None:
        """Nothing more comes. Also called where there was no `begin`."""
