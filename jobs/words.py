"""What is said of a job, to its owner and to staff alike, from what the API answers of it."""

from typing import Any

from foundation import figures
from jobs.states import Ending, Outcome

OUTCOMES = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.COMPILE_ERROR: "did not compile",
    Outcome.COMPILE_TIMEOUT: "took too long to compile",
    Outcome.RUNTIME_ERROR: "failed",
    Outcome.RUNTIME_TIMEOUT: "ran too long and was stopped",
    Outcome.MEMORY_EXCEEDED: "used too much memory and was stopped",
    Outcome.OUTPUT_EXCEEDED: "printed too much and was stopped",
}
ENDINGS = {
    Ending.FINISHED: "brought the result",
    Ending.SUPERSEDED: "brought a result; the course staff had it run again",
    Ending.EXPIRED: "the host was lost",
    Ending.RELEASED: "the host gave it back",
    Ending.REQUEUED: "the course staff had it run again",
    Ending.CANCELLED: "was cancelled",
}
PHASES = {"compiling": "compiling", "waiting": "compiled, waiting for {}", "executing": "running"}
# As Linux numbers them, which is where programs run.
SIGNALS = {
    4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
    13: "SIGPIPE", 15: "SIGTERM", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip


def signal_name(number: int) -> str:
    """Such as ", SIGSEGV" for 11; "" for a signal without a name here."""
    return f", {SIGNALS[number]}" if number in SIGNALS else ""


def waiting(job: Any) -> list[str]:
    """Why a job does not run yet, and when it will: a sentence each."""
    if job["waiting_for"] == "no-executor":
        host = "GPU host" if job["platform"] == "cuda" else f"host for {job['platform']}"
        return [f"No {host} is connected. The job stays here and runs when one is back."]
    said = {
        "paused": "The queue is paused.",
        "held": "The course staff hold it back.",
        "data": "Its data is on the way.",
    }
    words = [said[job["waiting_for"]]] if job["waiting_for"] in said else []
    if count := job["jobs_before"]:
        words.append("1 job ends first." if count == 1 else f"{count} jobs end first.")
    if start := job["expected_start"]:
        words.append(f"Starts {figures.start(**start)}.")
    return words


def facts(job: Any) -> list[tuple[str, str]]:
    """A result's figures, by what they are called."""
    result = job["result"]
    if result is None:
        return []
    details, found = result["details"], []
    if (seconds := result["compile_seconds"]) is not None:
        before = " (compiled before)" if details.get("compiled_before") or job.get("cached") else ""
        found.append(("Compiled in", figures.duration(seconds) + before))
    if (seconds := result["execute_seconds"]) is not None:
        found.append(("Ran in", figures.duration(seconds)))
    found += _on(job["executor"], details.get("gpu"))
    if isinstance(memory := details.get("execute_memory_bytes"), int):
        found.append(("Peak memory", figures.size(memory)))
    return found


def _on(executor: str | None, gpu: Any) -> list[tuple[str, str]]:
    """Where it ran."""
    found = [("Host", executor)] if executor else []
    if isinstance(gpu, dict) and isinstance(name := gpu.get("name"), str) and name:
        throttled = gpu.get("throttled")
        is_hot = isinstance(throttled, list) and "heat" in throttled
        heat = ", slowed down by heat" if is_hot else ""
        found.append(("GPU", name + heat))
    return found


def left_out(job: Any) -> list[str]:
    """Files that the program wrote and that are not kept, with the reason."""
    details = (job["result"] or {}).get("details") or {}
    words = [
        f"{file.get('name')}: {file.get('reason')}" for file in _files(details, "files_left_out")
    ]
    words += _more(details, "more_files_left_out")
    for file in _files(details, "files_beside"):
        size = file.get("size")
        shown = f" ({figures.size(size)})" if isinstance(size, int) else ""
        words.append(
            f"{file.get('name')}{shown}: written beside the program; what it writes to out/ is kept"
        )
    return words + _more(details, "more_files_beside")


def _files(details: dict[str, Any], name: str) -> list[dict[str, Any]]:
    listed = details.get(name)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _more(details: dict[str, Any], name: str) -> list[str]:
    more = details.get(name)
    return [f"and {more} more"] if isinstance(more, int) and more > 0 else []
