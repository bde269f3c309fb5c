"""What the student sees of a job that is over."""

from __future__ import annotations

from typing import Any

from handouts.client.words import warn
from handouts.submit.ending_lines import attempt_line, details_of, ending_line
from handouts.submit.left_out import what_is_left_out
from handouts.submit.live import Live
from handouts.submit.stop import NO_RESULT, PROGRAM_FAILED, SUCCEEDED, UNSAVED
from handouts.submit.terminals import GREEN, RED, YELLOW


def show(job: dict[str, Any], live: Live) -> int:
    """Prints what is not shown yet of a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    for attempt in attempts if result is None else attempts[:-1]:
        live.screen.warn(attempt_line(attempt))
    live.finish(job)
    if result is None:
        live.screen.warn(ending_line(job), YELLOW)
        return NO_RESULT
    has_succeeded = job["outcome"] == "succeeded"
    is_whole = not what_is_left_out(job)
    live.screen.line(ending_line(job), RED if not has_succeeded else GREEN if is_whole else YELLOW)
    if slowed_by_heat(result):
        warn(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    if not has_succeeded:
        return PROGRAM_FAILED
    return SUCCEEDED if is_whole else UNSAVED


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = details_of(result).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])
