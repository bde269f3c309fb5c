"""What the student sees of a job that is over."""

from __future__ import annotations

from typing import Any

from handouts.client.words import warn
from handouts.submit.job_lines import attempt_line, ending_line
from handouts.submit.live import Live
from handouts.submit.notices import notice
from handouts.submit.stop import NO_RESULT, PROGRAM_FAILED, SUCCEEDED


def show(job: dict[str, Any], live: Live) -> int:
    """Prints what is not shown yet of a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    for attempt in attempts if result is None else attempts[:-1]:
        live.screen.warn(attempt_line(attempt))
    live.finish(job)
    if result is None:
        warn(ending_line(job))
        return NO_RESULT
    live.screen.line(ending_line(job))
    if slowed_by_heat(result):
        notice(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    return SUCCEEDED if job["outcome"] == "succeeded" else PROGRAM_FAILED


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = (result.get("details") or {}).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])
