"""What a job prints, on the screen as it comes, and at the end what of it is not there yet."""

from __future__ import annotations

from typing import Any

from handouts.submit.compile_log import OwnPaths
from handouts.submit.left_out import FOUND_NOTE, NOTE
from handouts.submit.screen import Screen

TITLES = {"compile": "compiler", "execute": "program"}


class Shown:
    """How much of a log is on the screen."""

    def __init__(self) -> None:
        self.whole = bytearray()  # from its beginning, without a gap
        self.end = 0  # of all that is there, after a gap too


class Live:
    """The logs of a job's latest attempt."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.paths = OwnPaths()
        self._attempt = 0
        self._logs = {log: Shown() for log in TITLES}
        self._title = ""

    def take(self, output: dict[str, Any]) -> None:
        """Shows what is new in an `output` event; one that makes no sense is passed over."""
        try:
            attempt, offset, log = int(output["attempt"]), int(output["offset"]), output["log"]
            data = output["text"].encode("utf-8", "surrogateescape")
            shown = self._logs[log]
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        if attempt > self._attempt:
            self._begin(attempt)
            shown = self._logs[log]
        if attempt == self._attempt:
            self._show(log, shown, max(offset, shown.end), data[max(0, shown.end - offset) :])

    def _show(self, log: str, shown: Shown, offset: int, data: bytes) -> None:
        if not data:
            return
        if offset == len(shown.whole):
            shown.whole += data
        elif not self.screen.is_terminal:
            return  # a file or pipe gets every byte in its place, once the result is there
        note = NOTE % (offset - shown.end) if offset > shown.end else b""
        shown.end = offset + len(data)
        self._under(TITLES[log])
        self._write(log, note + data)

    def look_at(self, job: dict[str, Any]) -> None:
        """Begins anew where the attempt that was shown has ended, and the job waits for another.

        One that has ended in a job that still runs may be its last: the queue reads the job first.
        """
        attempts = job.get("attempts") or []
        latest = max((int(attempt.get("number") or 0) for attempt in attempts), default=0)
        if job.get("state") != "queued" and latest <= self._attempt:
            return
        if any(one.get("number") == self._attempt and one.get("ending") for one in attempts):
            self._begin(max(latest, self._attempt + 1))

    def finish(self, job: dict[str, Any]) -> None:
        """Shows what is not shown yet of the logs of a job that is over: those count."""
        number, logs = logs_of(job)
        if number > self._attempt:
            self._begin(number)
        if number == self._attempt:
            for log in TITLES:
                text = str(logs.get(f"{log}_log") or "")
                self._complete(log, text.encode("utf-8", "surrogateescape"))
        self._end_title()
        self.screen.end_line()

    def _complete(self, log: str, data: bytes) -> None:
        shown, title = self._logs[log], TITLES[log]
        rest = rest_of(data, bytes(shown.whole))
        if rest is None:
            rest, title = data, f"{title}, all of it anew"
        elif shown.end > len(shown.whole):
            title = f"{title}, from byte {len(shown.whole)} on"
        if rest:
            self._under(title)
            self._write(log, rest)

    def _write(self, log: str, data: bytes) -> None:
        """On a terminal a compiler names files as their student does; a file gets its bytes."""
        is_changed = log == "compile" and self.screen.is_terminal
        self.screen.write(self.paths.take(data) if is_changed else data)

    def _end_title(self) -> None:
        """What was held back of the last line is shown."""
        self.screen.write(self.paths.take(b"", is_last=True))

    def _begin(self, attempt: int) -> None:
        self._end_title()
        if any(shown.end for shown in self._logs.values()):
            self.screen.line("--- the host was lost: what is above does not count ---")
        self._attempt, self._title = attempt, ""
        self._logs = {log: Shown() for log in TITLES}

    def _under(self, title: str) -> None:
        if title != self._title:
            self._end_title()
            self.screen.line(f"--- {title} ---")
            self._title = title


def logs_of(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The number of the attempt that counts, and the object that has its logs, if any.

    Without a result it is the last attempt of which something was kept.
    """
    attempts = job.get("attempts") or [{}]
    number, logs = attempts[-1].get("number", 0), job["result"]
    if logs is None:
        kept = [a for a in attempts if a.get("compile_log") or a.get("execute_log")]
        number, logs = (kept[-1].get("number", 0), kept[-1]) if kept else (number, {})
    return number, logs


def rest_of(log: bytes, shown: bytes) -> bytes | None:
    """What of a log is not shown yet; None if what is shown is not how the log begins.

    The log may leave out something in its middle, which was shown, or is noted.
    """
    if log.startswith(shown):
        return log[len(shown) :]
    if shown.startswith(log):
        return b""
    same = 0  # up to here they agree
    for note in FOUND_NOTE.finditer(log):
        start, end = note.start(), note.end() + 1
        if log[same:start] != shown[same:start]:
            break
        same = start
        if shown.startswith(log[start:end], start):  # the program's own words
            continue
        missing = start + int(note[1]) - len(shown)
        if missing > 0:
            return NOTE % missing + log[end:]
        if log.startswith(shown[missing or len(shown) :], end):
            return log[end - missing :]
    return None
