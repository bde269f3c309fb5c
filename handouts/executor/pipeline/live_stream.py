"""What the programs of one attempt print, on its way to those who watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from handouts.client.retries import delays
from handouts.executor.slot.bounded_log import HEAD_SHARE
from handouts.executor.slot.live_output import LiveOutput
from handouts.executor.slot.program_output import FRAME_BYTES
from handouts.executor.slot.protocol import Output

UNWATCHED_SECONDS = 1.0  # from one request to the next while nobody watches
LEAST_BYTES = 512  # at once; what takes no more than that takes nothing


class Piece(NamedTuple):
    """Bytes of a log, and where in it they stand."""

    log: str  # "compile" or "execute"
    offset: int
    data: bytes


class LiveStream(LiveOutput):
    """First the compiler's log to its end, then the program's, a piece at a time.

    The next piece is fetched from the slot when the last one was taken: so a slow queue costs
    pieces, not time or memory.
    """

    def __init__(
        self, attempt_id: int, lease_token: str, watched: bool, is_due: Callable[[Any], Any]
    ) -> None:
        """`is_due` is called with it, from any thread, when there is something to do."""
        self.path = f"/attempts/{attempt_id}/output"
        self.lease_token = lease_token
        self._is_due = is_due
        self._lock = threading.Lock()
        self._ask: Callable[[int], Any] | None = None  # of the command that runs
        self._log = "compile"
        self._offset = 0  # in it, of what comes next
        self._compiled: bytes | None = None  # the compiler's log, once it has ended
        self._piece: Piece | None = None
        self._watched = watched
        self._is_closed = False
        self._maximum = FRAME_BYTES
        self._pauses: Iterator[float] = delays()
        self.rests_until = 0.0  # on the monotonic clock

    def begin(self, ask: Callable[[int], Any]) -> None:
        """A command runs: before `compiled` the compiler, then the program."""
        with self._lock:
            self._ask = ask
        self._is_due(self)

    def add(self, piece: Output) -> None:
        """It printed this."""
        with self._lock:
            self._piece = Piece(self._log, piece.offset, piece.data)
        self._is_due(self)

    def end(self) -> None:
        """It has ended: what it still printed is in its log."""
        with self._lock:
            self._ask = self._piece = None

    def compiled(self, log: bytes, log_bytes: int) -> None:
        """The compiler's log, which may have a note in it if it was longer than `log_bytes`."""
        with self._lock:
            whole = log if len(log) <= log_bytes else log[: int(log_bytes * HEAD_SHARE)]
            self._compiled = whole
        self._is_due(self)

    def close(self) -> None:
        """Nothing more is sent: the attempt is over here."""
        with self._lock:
            self._is_closed = True
            self._ask = self._piece = None

    def watch(self, watched: object) -> None:
        """The queue says whether anybody watches; nothing is changed by what says neither."""
        if not isinstance(watched, bool):
            return
        with self._lock:
            begins = watched and not self._watched
            self._watched = watched
        if begins:
            self.rests_until = 0.0
            self._is_due(self)

    def next(self) -> Piece | None:
        """What is to be sent now; None if there is nothing, or it has to come from the slot."""
        with self._lock:
            if self._is_closed:
                return None
            if self._piece is None and self._compiled is not None and self._log == "compile":
                self._take_rest(self._compiled)
            if self._piece is not None:
                return self._piece._replace(data=self._piece.data[: self._maximum])
            if self._ask is not None:
                self._ask(self._offset)
            return None

    def _take_rest(self, log: bytes) -> None:
        """The next piece of the compiler's log, after which comes the program's."""
        rest = log[self._offset : self._offset + FRAME_BYTES]
        if rest:
            self._piece = Piece("compile", self._offset, rest)
        else:
            self._log, self._offset = "execute", 0

    def sent(self, piece: Piece, watched: bool) -> None:
        """The queue has it, and says whether anybody watches."""
        with self._lock:
            if piece.log == self._log:
                self._offset = max(self._offset, piece.offset + len(piece.data))
            self._piece = None
            self._watched = watched
            self._pauses = delays()
            self.rests_until = 0.0 if watched else time.monotonic() + UNWATCHED_SECONDS
        self._is_due(self)

    def failed(self, seconds: float = 0.0) -> None:
        """It could not be sent, and is sent again after a while: `seconds` at least."""
        self.rests_until = time.monotonic() + max(seconds, next(self._pauses))
        self._is_due(self)

    def too_large(self) -> None:
        """Somebody on the way does not let pass as much at once."""
        self._maximum //= 2
        if self._maximum < LEAST_BYTES:
            self.close()
        self._is_due(self)
