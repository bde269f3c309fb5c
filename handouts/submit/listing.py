"""Jobs in a table: a line each, as wide as the terminal."""

from __future__ import annotations

import os
import sys
from typing import Any

from handouts.submit.job_lines import is_over
from handouts.submit.moments import in_time
from handouts.submit.printable import printable

SHORT = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "compiler stopped",
    "runtime_error": "failed",
    "runtime_timeout": "stopped",
    "memory_exceeded": "out of memory",
    "output_exceeded": "printed too much",
    "executing": "running",
    "waiting": "waiting for a GPU",
    "failed": "lost",
}
HEAD = ["job", "program", "state", "ran in", "submitted"]
AGES = ((86400 * 2, 86400, "days"), (3600 * 2, 3600, "h"), (60, 60, "min"))  # from, size, name
NARROW = 60  # columns
LONGEST_NAME = 40  # of a file with its arguments, where there is room for all


def in_order(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that wait or run first, else as they are."""
    return sorted(jobs, key=is_over)


def job_table(jobs: list[dict[str, Any]]) -> list[str]:
    """A line for each job: number, file and arguments, state, time, age. A terminal gets a head,
    what reads a file or a pipe does not expect one."""
    rows = [job_row(job) for job in jobs]
    if sys.stdout.isatty():
        rows.insert(0, HEAD)
    if terminal_width() < NARROW:
        rows = [row[:-1] for row in rows]  # their age
    return table(rows, right=(0, 3), cut=1)


def job_row(job: dict[str, Any]) -> list[str]:
    words = [str(job.get("filename") or "?"), *map(str, job.get("args") or [])]
    name = shortened(printable(" ".join(words)).replace("\n", " "), LONGEST_NAME)
    took = seconds_in_words(job.get("execute_seconds"))
    return [str(job["id"]), name, state_in_words(job), took, ago(job.get("submitted_at"))]


def state_in_words(job: dict[str, Any]) -> str:
    """In a word or two; of a job that waits, its place."""
    if job["state"] == "queued":
        place = job.get("queue_position")
        return f"waiting, {place} in the queue" if place else "waiting"
    stopping = " (stopping)" if job["state"] == "running" and job.get("cancel_requested_at") else ""
    word = job.get("outcome") or job.get("phase") or job["state"]
    return printable(SHORT.get(str(word), str(word))) + stopping


def seconds_in_words(seconds: Any) -> str:
    """Such as "1.31 s"; "" where there is no number."""
    return in_time(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else ""


def ago(timestamp: Any) -> str:
    """Such as "2 min ago", by this machine's clock; "" where that makes no sense."""
    import datetime  # only here, since it takes time to import

    try:
        then = datetime.datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
        passed = (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return ""
    for least, size, name in AGES:
        if passed >= least:
            return f"{passed // size:.0f} {name} ago"
    return "just now"


def table(rows: list[list[str]], right: tuple[int, ...] = (), cut: int = 0) -> list[str]:
    """The rows in columns, of which those `right` are flush right; on a terminal one is cut."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows)]
    room = terminal_width() - sum(widths) - 2 * (len(widths) - 1)
    if room < 0:
        widths[cut] = max(8, widths[cut] + room)
    lines = []
    for row in rows:
        cells = [*row]
        cells[cut] = shortened(cells[cut], widths[cut])
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths))
        ]
        lines.append(shortened("  ".join(padded).rstrip(), terminal_width()))
    return lines


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and "..." """
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def terminal_width() -> int:
    """How many characters a line may have; a file or a pipe takes any."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 9999
    except (OSError, ValueError):
        return 80
