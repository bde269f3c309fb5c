"""A log of bounded size."""

from __future__ import annotations

HEAD_SHARE = 0.75  # of the bytes that are kept; the rest are the end of the log


class BoundedLog:
    """The head and the tail of a stream of bytes, and how much was left out between them."""

    def __init__(self, maximum: int) -> None:
        self._head_size = int(maximum * HEAD_SHARE)
        self._tail_size = maximum - self._head_size
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Appends."""
        self.total += len(data)
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_size:  # seldom, so that adding stays cheap
            del self._tail[: -self._tail_size]

    def piece(self, offset: int, size: int) -> tuple[int, bytes]:
        """What is kept of the bytes from `offset` on, no more than `size` of them that stand
        together, and where they begin: later than asked for if some were left out."""
        if offset < len(self._head):
            return offset, bytes(self._head[offset : offset + size])
        begin = max(offset, self.total - len(self._tail))
        first = begin - (self.total - len(self._tail))
        return begin, bytes(self._tail[first : first + size])

    def content(self) -> bytes:
        """The log, with a note where something was left out."""
        left_out = self.total - self._head_size - self._tail_size
        if left_out <= 0:
            return bytes(self._head + self._tail)
        note = b"\n[... %d bytes left out ...]\n" % left_out
        return bytes(self._head) + note + bytes(self._tail[-self._tail_size :])
