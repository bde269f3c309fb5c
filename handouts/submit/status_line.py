"""A line below all others that is written anew each second, while something is waited for."""

from __future__ import annotations

import _thread
import os
import sys
import time
from collections.abc import Callable

from handouts.submit.notices import is_quiet
from handouts.submit.terminals import Look

TICK_SECONDS = 0.5  # half of what it counts in, so that no second is passed over
ERASE = "\r\x1b[K"


class StatusLine:
    """On standard error, if that is a terminal that can do it.

    Who writes to the terminal holds `lock`, and erases the line first.
    """

    def __init__(self) -> None:
        self.look = Look(sys.stderr)
        self.is_used = self.look.takes_escapes and not is_quiet()
        self.lock = _thread.RLock()
        self.is_hidden = False  # the cursor stands in a line of the program's
        self._words: Callable[[int], str] | None = None
        self._drawn = ""
        self._ticks = False
        self._instead: Callable[[int], str] | None = None  # of them, for a while
        self._instead_until = 0.0

    def show(self, words: Callable[[int], str]) -> None:
        """From now on what `words` says, which is given the width of the terminal."""
        with self.lock:
            self._words = words
            self.draw()
            if self.is_used and not self._ticks:
                self._ticks = True
                _thread.start_new_thread(self._tick, ())

    @property
    def is_shown(self) -> bool:
        """Whether there is something to wait for that it tells of."""
        return self._words is not None

    def show_instead(self, words: Callable[[int], str], seconds: float) -> None:
        """For so long what `words` says, in place of what is shown otherwise."""
        with self.lock:
            self._instead, self._instead_until = words, time.monotonic() + seconds
            self.draw()

    def end(self) -> None:
        """There is nothing to wait for any more, or something else is to be said."""
        with self.lock:
            self._words = None
            self.erase()

    def erase(self) -> None:
        """Leaves the cursor at the beginning of an empty line, if the line was drawn."""
        if self._drawn:
            self._drawn = ""
            self._write(ERASE)

    def draw(self) -> None:
        """Draws the line, as far as it is to be seen and says something else than it does."""
        if not self.is_used or self._words is None or self.is_hidden or not in_foreground():
            return
        is_instead = self._instead and time.monotonic() < self._instead_until
        words = self._instead if self._instead and is_instead else self._words
        text = self.look.encodable(words(self.look.columns))
        if text != self._drawn:
            self._drawn = text
            self._write(f"\r{text}\x1b[K")

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self.lock:
                if self._words is None or not self.is_used:
                    self._ticks = False
                    return
                self.draw()

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it
            self.is_used = False


def in_foreground() -> bool:
    """Whether the terminal is this program's, not that of the shell that started it."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # Windows; or it is no terminal of its session
        return True
