"""Live output as a stream tells it: a text at a time, from the offsets that its reader knows."""

from typing import NamedTuple

from jobs.live.pieces import LOGS, Piece, after, key_of
from jobs.models import Attempt

EVENT_BYTES = 16 * 1024  # of a log; as JSON up to six times as many
_FEW, _MANY = 4, 64  # pieces that are read at once, large ones and tiny ones
_TINY_BYTES = 1024


class Read(NamedTuple):
    """What follows in one log, and whether more of the logs is there already."""

    piece: Piece
    is_all: bool


class Reader:
    """Reads one attempt's logs for one stream, of which it remembers nothing but sizes."""

    def __init__(self, attempt: Attempt) -> None:
        self.number = attempt.number
        self._key = key_of(attempt.lease_token)
        self._most = _FEW

    def next(self, offsets: tuple[int, int], *, is_over: bool) -> Read | None:
        """What follows these offsets. `is_over`: no more will come. Raises DatabaseError."""
        found = after(self._key, offsets, self._most)
        size = sum(len(piece.content) for piece in found)
        most, self._most = self._most, _MANY if size < len(found) * _TINY_BYTES else _FEW
        for log in LOGS:
            pieces = [piece for piece in found if piece.log == log]
            if content := _text(pieces, is_end=is_over and len(pieces) < most):
                is_all = size == len(content) and len(pieces) < most
                return Read(Piece(log, pieces[0].start, content), is_all)
        return None


def _text(pieces: list[Piece], *, is_end: bool) -> bytes:
    """The first bytes of a log, up to a gap, for one event. It ends with a whole character, if
    the next one's bytes can be there or are still to come."""
    content = b""
    for before, piece in zip([*pieces[:1], *pieces], pieces, strict=False):
        if before is not piece and before.stop < piece.start:
            is_end = True  # what would complete a character was left out
            break
        content += piece.content
        if len(content) > EVENT_BYTES:
            content, is_end = content[:EVENT_BYTES], False
            break
    return content if is_end else content[: len(content) - _begun(content)]


def _begun(content: bytes) -> int:
    """How many of the last bytes begin a character in UTF-8 without ending it."""
    for back in range(1, min(3, len(content)) + 1):
        byte = content[-back]
        if byte & 0xC0 != 0x80:  # it is no later byte of a character
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if 0xC2 <= byte <= 0xF4 and back < length else 0
    return 0
