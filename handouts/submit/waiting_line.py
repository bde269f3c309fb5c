"""What a job is doing, in a line that is right each second."""

from __future__ import annotations

import re
import time
from typing import Any

from handouts.submit.job_lines import (
    WAITS,
    ends_first,
    lost_before,
    missing_host,
    place_in_words,
    wanted_place,
)
from handouts.submit.moments import clock, when_it_starts
from handouts.submit.printable import printable
from handouts.submit.terminals import CYAN, GREEN, YELLOW, Look, cut, width_of

MARKS = {"queued": ("○", YELLOW), "compiling": ("◐", CYAN), "waiting": ("◐", CYAN)}
RUNNING = ("●", GREEN)
KEY_COLUMNS = 2  # for the ^C that a terminal shows where the cursor is: it must not break the line
LEAST_HEAD = 12  # columns, of what is said before the clock
WIDEST = 80  # then the job's number stands at the end, however wide the terminal is


class WaitingLine:
    """Of the job that is looked at, since its phase began."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._job: dict[str, Any] = {}
        self._phase: Any = None
        self._phase_at: float | None = None  # when it began, if that was seen
        self._clock = ""  # the part that tells how long it has been like that
        self._came_at = 0.0  # when the queue said what is known

    def look_at(self, job: dict[str, Any]) -> None:
        """It is like that now."""
        now = time.monotonic()
        phase = phase_of(job), len(job.get("attempts") or [])
        if phase != self._phase:
            is_new = self._job or phase == ("queued", 0)  # else it may have begun long ago
            self._phase, self._phase_at = phase, now if is_new else None
        self._job, self._came_at = job, now

    def words(self, columns: int) -> str:
        """The line, no wider than that; what matters least is left out first."""
        mark, colour = MARKS.get(phase_of(self._job), RUNNING)
        number, room = f"job {self._job['id']}", min(columns - KEY_COLUMNS, WIDEST) - 3
        line = self._fitting([printable(part) for part in self._parts() if part], room)
        gap = room - width_of(line) - len(number)
        end = " " * gap + number if gap >= 3 else ""
        return f"{self._look.coloured(mark, colour)} {line}{end}"

    def _fitting(self, parts: list[str], room: int) -> str:
        """As many of the parts as there is room for. Of what moves by itself, when it starts or
        else the clock, one stays: a line that stands still looks like a program that hangs."""
        start = next((part for part in parts[1:] if part.startswith("starts ")), "")
        is_short = start and width_of(f"{parts[0]} · {start}") <= room
        while len(parts) > 2 and width_of(" · ".join(parts)) > room:
            kept = (parts[0], start if is_short else self._clock)
            others = [part for part in parts if part not in kept]
            parts.remove(([one for one in others if one != self._clock] or others)[-1])
        line = " · ".join(parts)
        if len(parts) < 2 or width_of(line) <= room or parts[1] != self._clock:
            return cut(line if width_of(line) <= room else parts[0], room)
        short = re.sub("^[a-z ]*| of .*", "", self._clock)
        head = room - 3 - len(short)
        return f"{cut(parts[0], head)} · {short}" if head >= LEAST_HEAD else cut(parts[0], room)

    def _parts(self) -> list[str]:
        """What is said of it, the most important first."""
        job, phase = self._job, phase_of(self._job)
        when = when_it_starts(job, time.monotonic() - self._came_at)
        start = f"starts {when}" if when else ""
        before = ends_first(job)
        if phase == "queued":
            missing = missing_host(job)
            other = WAITS.get(str(job.get("waiting_for")), "")
            return [
                missing or other,
                place_in_words(job),
                "" if missing else start,
                "" if missing else before,
                self._since("waiting for "),
                lost_before(job),
            ]
        stop = "being cancelled" if job.get("cancel_requested_at") else ""
        where = f"on {job.get('executor')}"
        if phase == "waiting":
            head = f"compiled {where}, waits for {wanted_place(job)}"
            return [head, stop, start, before, self._since("for "), lost_before(job)]
        if phase == "compiling":
            timer = self._timer("compile_seconds")
            return [f"compiling {where}", stop, timer, start, before, lost_before(job)]
        platform = str(job.get("platform") or "")
        kind = f" ({platform})" if platform not in ("", "cuda", "cpu") else ""
        timer = self._timer("execute_seconds")
        return [f"running {where}{kind}", stop, timer, lost_before(job)]

    def _since(self, words: str) -> str:
        if self._phase_at is None:
            return ""
        self._clock = words + clock(time.monotonic() - self._phase_at)
        return self._clock

    def _timer(self, limit: str) -> str:
        """How long the phase goes on, and how long it may."""
        limits = self._job.get("limits")
        most = limits.get(limit) if isinstance(limits, dict) else None
        if not isinstance(most, (int, float)) or not 0 < most < 1e7:
            return self._since("")
        if self._since(""):
            self._clock += f" of {clock(most)}"
            return self._clock
        return ""


def phase_of(job: dict[str, Any]) -> str:
    """Where the job is: "queued", or the phase of one that runs."""
    return "queued" if job.get("state") == "queued" else str(job.get("phase") or "executing")
