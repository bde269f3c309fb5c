"""What the student sees of a job that is over."""

from __future__ import annotations

import re
from typing import Any

from handouts.submit.compile_log import errors_in_a_line
from handouts.submit.ending_lines import SIGNALS, attempt_line, details_of, ending_line
from handouts.submit.left_out import printed_left_out, what_is_left_out
from handouts.submit.live import Live
from handouts.submit.notices import notice
from handouts.submit.printable import printable
from handouts.submit.readings import reading_of, unflushed
from handouts.submit.stop import NO_RESULT, PROGRAM_FAILED, SUCCEEDED, UNSAVED
from handouts.submit.terminals import GREEN, RED, YELLOW

# As executors write it, in the compiler's log.
MISSING_LISTING = re.compile(
    r"^asm: ((?:this host|the program|the compile's time limit|the compiler showed)\b.*)",
    re.MULTILINE,
)


def show(job: dict[str, Any], live: Live) -> int:
    """Prints what is not shown yet of a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    if job.get("texts_gone_at"):
        live.screen.warn("The files and logs of this job are no longer kept.", YELLOW)
    if result is None:
        live.finish(job)
    for attempt in attempts if result is None else attempts[:-1]:
        if attempt.get("ending") != "cancelled":  # the last line says that
            live.screen.warn(attempt_line(attempt))
    if result is not None:
        live.finish(job)
    else:
        live.screen.warn(ending_line(job), YELLOW)
        return NO_RESULT
    has_succeeded = job["outcome"] == "succeeded"
    is_whole = not what_is_left_out(job)
    line = live.screen.look.wrapped(ending_line(job), by_commas=True)
    live.screen.line(line, RED if not has_succeeded else GREEN if is_whole else YELLOW)
    if printed_left_out(result) and job["outcome"] != "output_exceeded":
        live.screen.warn(
            "Of a long output the beginning and the end are kept. To keep all of it, write it to "
            "a file in out/."
        )
    for missing in missing_listings(result):
        live.screen.warn(f"Not brought back: {missing}", YELLOW)
    if slowed_by_heat(result):
        notice(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    if not has_succeeded:
        explain(job, live)
        return PROGRAM_FAILED
    return SUCCEEDED if is_whole else UNSAVED


def explain(job: dict[str, Any], live: Live) -> None:
    """Says what went wrong: how many errors a compile had, what a failure often means."""
    if job["outcome"] == "compile_error":
        errors = errors_in_a_line(str(job["result"].get("compile_log") or ""), live.paths)
        if errors:
            live.screen.warn(printable(errors), RED)
    signal = SIGNALS.get(job["result"].get("signal"), "")
    if lost := unflushed(job):
        live.screen.warn(lost)
    reading = reading_of(job, signal)
    if reading:
        live.screen.warn(f"What this often means: {reading}")


def missing_listings(result: dict[str, Any]) -> list[str]:
    """Why what the compiler made is not there, where --asm asked for it: sentences of the host."""
    log = str(result.get("compile_log") or "")
    return [printable(words.strip()) for words in MISSING_LISTING.findall(log)]


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = details_of(result).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])
