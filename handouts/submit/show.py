"""What the student sees of a job that is over."""

from __future__ import annotations

import sys
from typing import Any

from handouts.client.words import warn
from handouts.submit.job_lines import attempt_line, ending_line
from handouts.submit.printable import printable
from handouts.submit.stop import NO_RESULT, PROGRAM_FAILED, SUCCEEDED


def show(job: dict[str, Any]) -> int:
    """Prints a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    for attempt in attempts if result is None else attempts[:-1]:
        warn(attempt_line(attempt))
    if result is None:
        warn(ending_line(job))
        return NO_RESULT
    if result["compile_log"]:
        print_log("compiler", result["compile_log"])
    if result["execute_log"]:
        print_log("program", result["execute_log"])
    print(ending_line(job), flush=True)
    if slowed_by_heat(result):
        warn(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    return SUCCEEDED if job["outcome"] == "succeeded" else PROGRAM_FAILED


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = (result.get("details") or {}).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])


def print_log(title: str, log: str) -> None:
    """A log under its title: byte for byte into a file or pipe, made safe for a terminal."""
    sys.stdout.write(f"--- {title} ---\n")
    sys.stdout.flush()
    data = log.encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        data = printable(data.decode("utf-8", "backslashreplace")).encode(
            sys.stdout.encoding or "utf-8", "backslashreplace"
        )
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.flush()
