"""Asking the queue again until it answers, and saying so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from handouts.client.answer import Answer, is_retryable
from handouts.client.errors import Unreachable
from handouts.client.retries import delays
from handouts.submit.moments import clock
from handouts.submit.notices import is_quiet
from handouts.submit.printable import printable
from handouts.submit.screen import Screen
from handouts.submit.stop import UNREACHABLE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.terminals import YELLOW, cut, width_of

REQUEST_SECONDS = 10.0  # how long an answer may take
SLOWEST_BYTES = 20_000  # a second, of what is sent
RETRY_SECONDS = (0.2, 5.0)  # between tries, at first and in the end
AGAIN_SECONDS = 30.0  # what says the same with other times is said no sooner


class Persistent:
    """Says on standard error what goes wrong, each once."""

    def __init__(self, queue: StreamingQueue, screen: Screen) -> None:
        self.queue = queue
        self.turns = queue.turns
        self.screen = screen
        self.is_away = False  # the queue; said once it is back
        self.may_have_it = False  # the queue, what is sent since this was last set to False
        self._deadline = 0.0  # of what is tried
        self._said: tuple[str, float, Any] = ("", 0.0, None)  # the last line, when, what about

    def persist(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        patience: float = 0.0,
        held: float = 0.0,
    ) -> Answer:
        """Sends the request until the queue gives a final answer. Raises Stop after `patience`.

        The queue may hold it for `held` seconds before it answers.
        """
        timeout = REQUEST_SECONDS + held + len(str(body)) / SLOWEST_BYTES

        def send() -> Answer:
            return self.queue.request(method, path, body, headers, timeout)

        return self.persist_in(send, patience)

    def persist_in(self, send: Callable[[], Answer], patience: float) -> Answer:
        """Does it until the queue gives a final answer. Raises Stop after `patience` seconds."""
        self._deadline = time.monotonic() + patience
        is_ours = not self.screen.status.is_shown  # else the line tells of a job
        try:
            for delay in delays(*RETRY_SECONDS):
                answer, trouble, pause = self._try(send, delay)
                if answer:
                    self._say_it_is_back()
                    return answer
                if time.monotonic() + pause > self._deadline:
                    raise Stop(UNREACHABLE, trouble)
                self.say(trouble.rstrip(".") + "; trying again.")
                if is_ours:
                    self.screen.show_status(self._words_of_trying)
                self.turns.sleep(pause)
        finally:
            if is_ours:
                self.screen.status.end()
        raise AssertionError("delays() never ends")

    def _try(self, send: Callable[[], Answer], delay: float) -> tuple[Answer | None, str, float]:
        """The final answer; or None, what is wrong, and how long to wait before the next try."""
        before, self.may_have_it = self.may_have_it, True
        try:
            answer = send()
        except Unreachable as error:
            self.may_have_it = before or error.was_sent
            self.is_away = True
            return None, str(error), delay
        if not is_retryable(answer):
            return answer, "", 0.0
        pause = max(delay, answer.retry_after)
        if answer.status == 429:  # it is there, did nothing, and says when to come again
            self._deadline += pause
            self.may_have_it = before
        else:
            self.is_away = True
        return None, printable(answer.detail), pause

    def _words_of_trying(self, columns: int) -> str:
        """The line while the queue is not there."""
        what = "the queue does not answer" if self.is_away else "the queue asks to wait"
        left = clock(max(0.0, self._deadline - time.monotonic()))
        parts, room = [what, f"trying for {left} more", "Ctrl-C ends it"], columns - 3
        while len(parts) > 1 and width_of(" · ".join(parts)) > room:
            parts.pop(0 if len(parts) == 2 else -1)  # what stays last is the time
        mark = self.screen.status.look.coloured("○", YELLOW)
        return f"{mark} {cut(' · '.join(parts), room)}"

    def _say_it_is_back(self) -> None:
        if self.is_away:
            self.is_away = False
            self.say("Connected again.")

    def say(self, line: str, about: Any = None) -> None:
        """Prints the line, unless it is the last one, or the last was about the same just now."""
        last, when, last_about = self._said
        is_soon = about is not None and about == last_about
        if line == last or (is_soon and time.monotonic() < when + AGAIN_SECONDS):
            return
        self._said = line, time.monotonic(), about
        if not is_quiet():
            self.screen.warn(line)
