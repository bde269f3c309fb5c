"""Sending what programs print, while they run, to a queue that has watchers."""

from __future__ import annotations

import threading
import time

from handouts.client.answer import Answer, is_retryable
from handouts.client.auth import Auth
from handouts.client.errors import Unreachable, Untrusted
from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.text import in_text
from handouts.executor.base.threads import start
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.live_stream import LiveStream, Piece

SENDERS_AT_MOST = 8  # each with a connection of its own
SEND_SECONDS = 10.0  # how long an answer may take
IDLE_SECONDS_OF_SENDER = 20.0  # without anything to send, after which its connection is closed
NOT_KNOWN = (405, 501)  # to a queue, or to a proxy before it


class LiveSenders:
    """Threads that send the pieces of all streams: as many as are at work at once.

    Nothing waits for them. What cannot be sent is left out, and never said: results come anyhow.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._due: dict[LiveStream, float] = {}  # and when, by the monotonic clock
        self._busy: set[LiveStream] = set()
        self._threads = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._is_off = False  # the queue does not take any
        self._has_taken = False  # it did once

    def open(self, attempt: Attempt, watched: object) -> None:
        """For a job that was claimed. `watched`: the claim's `stream`; None if the queue is older
        and takes no output."""
        attempt.may_send_logs = isinstance(watched, bool)
        if isinstance(watched, bool) and not self._is_off:
            attempt.live = LiveStream(attempt.id, attempt.lease_token, watched, self._put)

    def close(self) -> None:
        """The executor stops."""
        with self._changed:
            self._is_off = True
            self._changed.notify_all()

    def _put(self, stream: LiveStream) -> None:
        with self._changed:
            self._due[stream] = stream.rests_until
            self._see_to_threads()
            self._changed.notify()

    def _see_to_threads(self) -> None:
        """One more, if all are at work."""
        if not self._idle and self._threads < SENDERS_AT_MOST and not self._is_off:
            self._threads += 1
            start(self._run, "live output")

    def _run(self) -> None:
        connection = HeldConnection(self._auth)
        while True:
            stream = self._take()
            if stream is None:
                break
            piece = stream.next()
            if piece is not None:
                self._send(connection, stream, piece)
            with self._changed:
                self._busy.remove(stream)
                self._changed.notify()
        connection.close()

    def _take(self) -> LiveStream | None:
        """One that is due, and no other thread's; None if there was nothing for long."""
        until = time.monotonic() + IDLE_SECONDS_OF_SENDER
        with self._changed:
            while not self._is_off:
                now = time.monotonic()
                free = {one: at for one, at in self._due.items() if one not in self._busy}
                stream = next((one for one, at in free.items() if at <= now), None)
                if stream is not None:  # the one that has waited for longest
                    del self._due[stream]
                    self._busy.add(stream)
                    if self._due:
                        self._see_to_threads()
                    return stream
                if now >= until and not free:  # what came at the last moment is not left behind
                    break
                self._idle += 1
                self._changed.wait(min(free.values(), default=until) - now)
                self._idle -= 1
            self._threads -= 1
            return None

    def _send(self, connection: HeldConnection, stream: LiveStream, piece: Piece) -> None:
        body = {
            "lease_token": stream.lease_token,
            "log": piece.log,
            "offset": piece.offset,
            "text": in_text(piece.data),
        }
        try:
            answer = connection.request("POST", stream.path, body, timeout=SEND_SECONDS)
        except (Unreachable, Untrusted) as error:
            answer = Answer(getattr(error, "status", 0), {}, {})
        if answer.status == 200:
            self._has_taken = True
            stream.sent(piece, answer.body.get("watched") is True)
        elif answer.status == 413:
            stream.too_large()
        elif not answer.status or is_retryable(answer):
            stream.failed(answer.retry_after)
        else:
            self._is_off = self._is_off or self._is_unknown(answer.status)
            stream.close()

    def _is_unknown(self, status: int) -> bool:
        """Whether the queue knows no live output. One that does says 404 of an attempt that is
        gone."""
        return status in NOT_KNOWN or (status == 404 and not self._has_taken)
