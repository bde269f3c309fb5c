"""What became of a job, each in one line."""

from __future__ import annotations

from typing import Any

from handouts.client.words import in_size
from handouts.submit.left_out import what_is_left_out
from handouts.submit.moments import in_time
from handouts.submit.printable import printable

EXPLAINED = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "took too long to compile",
    "runtime_error": "failed",
    "runtime_timeout": "ran too long and was stopped",
    "memory_exceeded": "used too much memory and was stopped",
    "output_exceeded": "printed too much and was stopped",
}
# As Linux numbers them; the student's system may have others.
SIGNALS = {
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
    25: "SIGXFSZ",
    31: "SIGSYS",
}


def attempt_line(attempt: dict[str, Any]) -> str:
    """How an attempt without a result ended."""
    ended = attempt.get("ending") or "open"
    why = ": " + attempt["reason"] if attempt.get("reason") else ""
    return printable(f"Attempt {attempt['number']} on {attempt['executor']} {ended}{why}")


def ending_line(job: dict[str, Any]) -> str:
    """What became of the job, in a line."""
    head = f"--- job {job['id']} "
    if job["state"] == "cancelled":
        by = job.get("replaced_by")
        return head + (f"was replaced by your job {by} ---" if by else "was cancelled ---")
    if job["state"] == "failed":
        tries = len(job.get("attempts", []))
        return (
            f"{head}could not be run: {tries} hosts were lost with it. "
            "Not your fault; tell the course staff ---"
        )
    result = job["result"]
    words = EXPLAINED.get(job["outcome"], str(job["outcome"])) + why_it_ended(result)
    missing = what_is_left_out(job)
    if missing:
        words += (", but " if job["outcome"] == "succeeded" else ", and ") + missing
    return head + printable(f"{words}: {', '.join(how_it_went(job))} ---")


def how_it_went(job: dict[str, Any]) -> list[str]:
    """How long it took, what it needed and where it ran, as far as the result says so."""
    result = job["result"]
    details = details_of(result)
    compiled, ran = result.get("compile_seconds"), result.get("execute_seconds")
    told = []
    if job.get("cached") or details.get("compiled_before"):
        told.append("compiled before (cached)")
    elif compiled:
        has_program = not job["outcome"].startswith("compile")
        told.append(f"{'compiled in' if has_program else 'the compiler took'} {in_time(compiled)}")
    if ran is not None:
        told.append(f"ran in {in_time(ran)}")
    memory = details.get("execute_memory_bytes")
    if isinstance(memory, int) and memory > 0:
        told.append(f"peak memory {in_size(memory)}")
    gpu = details.get("gpu")
    name = str(gpu.get("name") or "") if isinstance(gpu, dict) else ""
    kind = f" ({name[7:] if name.startswith('NVIDIA ') else name})" if name else ""
    return [*told, f"on {job.get('executor')}{kind}"]


def details_of(result: dict[str, Any]) -> dict[str, Any]:
    """What else the executor said."""
    details = result.get("details")
    return details if isinstance(details, dict) else {}


def why_it_ended(result: dict[str, Any]) -> str:
    """The limit, signal or exit status that a result has, in parentheses; "" if it has none."""
    limit = details_of(result).get("limit")
    if limit:
        return f" (limit: {printable(str(limit))})"
    if result.get("signal"):
        return f" (killed by signal {result['signal']}{signal_name(result['signal'])})"
    if result.get("exit_code"):
        return f" (exit status {result['exit_code']})"
    return ""


def signal_name(number: int) -> str:
    """Such as ", SIGSEGV" for 11, as Linux numbers them; "" for a signal without a name here."""
    name = SIGNALS.get(number)
    return f", {name}" if name else ""
