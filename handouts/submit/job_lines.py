"""What is said of a job, each in one line."""

from __future__ import annotations

from typing import Any

from handouts.submit.moments import since_in_words, start_in_words
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
WAITS = {
    "paused": ", but the queue is paused",
    "held": ", but the course staff hold it back",
    "data": ", its data is on the way",
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


def is_over(job: dict[str, Any]) -> bool:
    """Whether nothing will happen to it any more."""
    return job["state"] not in ("queued", "running")


def status_line(job: dict[str, Any]) -> str:
    """What the job is waiting for, in a line."""
    head = f"Job {job['id']}: "
    lost = [a for a in job.get("attempts", []) if a.get("ending") in ("expired", "released")]
    again = f" (again: {lost[-1]['executor']} was lost)" if lost else ""
    if job["state"] == "queued":
        place = job.get("queue_position")
        ahead = "next in the queue" if place == 1 else f"position {place} in the queue"
        return head + printable("waiting, " + ahead + what_it_waits_for(job)) + again
    wanted = "its turn" if job.get("platform") == "cpu" else "a GPU"
    doing = {
        "compiling": "compiling",
        "waiting": f"compiled, waiting for {wanted}",
        "executing": "running",
    }.get(job.get("phase"), "running")
    place = job.get("queue_position")
    later = (f", position {place}" if place else "") + when_its_turn_comes(job)
    stop = ", being cancelled" if job.get("cancel_requested_at") else ""
    return head + doing + " on " + printable(str(job.get("executor"))) + later + stop + again


def what_changes(job: dict[str, Any]) -> list[Any]:
    """What a new status line is worth: all in it but the times."""
    keys = ("id", "state", "phase", "executor", "queue_position", "waiting_for")
    return [*map(job.get, keys), job.get("cancel_requested_at"), len(job.get("attempts", []))]


def what_it_waits_for(job: dict[str, Any]) -> str:
    """Why a queued job does not run yet, to come after its place; "" for its turn alone."""
    if job.get("waiting_for") == "no-executor":
        platform = str(job.get("platform") or "")
        host = "GPU host" if platform == "cuda" else f"host for {platform}" if platform else "host"
        since = since_in_words(job.get("no_executor_since"))
        return f", but no {host} {'has been' if since else 'is'} connected{since}"
    return WAITS.get(str(job.get("waiting_for")), "") + when_its_turn_comes(job)


def when_its_turn_comes(job: dict[str, Any]) -> str:
    """After how many jobs, and when, as far as the queue can tell."""
    count = job.get("jobs_before")
    if not isinstance(count, int) or count < 1:
        return start_in_words(job)
    first = "1 job ends" if count == 1 else f"{count} jobs end"
    return f", {first} first{start_in_words(job)}"


def attempt_line(attempt: dict[str, Any]) -> str:
    """How an attempt without a result ended."""
    ended = attempt.get("ending") or "open"
    why = ": " + attempt["reason"] if attempt.get("reason") else ""
    return printable(f"Attempt {attempt['number']} on {attempt['executor']} {ended}{why}")


def ending_line(job: dict[str, Any]) -> str:
    """What became of the job, in a line."""
    head = f"--- job {job['id']} "
    if job["state"] == "cancelled":
        return head + "was cancelled ---"
    if job["state"] == "failed":
        tries = len(job.get("attempts", []))
        return (
            f"{head}could not be run: {tries} hosts were lost with it. "
            "Not your fault; tell the course staff ---"
        )
    result = job["result"]
    words = EXPLAINED.get(job["outcome"], str(job["outcome"])) + why_it_ended(result)
    times = [
        f"{verb} in {result[key]:.2f} s"
        for verb, key in (("compiled", "compile_seconds"), ("ran", "execute_seconds"))
        if result.get(key) is not None
    ]
    if (result.get("details") or {}).get("compiled_before"):
        times[:1] = ["compiled before"]
    where = "on " + printable(str(job.get("executor")))
    return head + words + ": " + ", ".join([*times, where]) + " ---"


def why_it_ended(result: dict[str, Any]) -> str:
    """The limit, signal or exit status that a result has, in parentheses; "" if it has none."""
    limit = (result.get("details") or {}).get("limit")
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
