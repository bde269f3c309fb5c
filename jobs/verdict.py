"""How a job stands, or what became of it, in one sentence for staff."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from foundation import figures
from jobs.audit.history import Happening
from jobs.compile_errors import CompileError
from jobs.readings import reading_of
from jobs.states import Ending, Outcome, Phase, State
from jobs.words import signal_name, waiting

_MARKS = {"good": "✓", "bad": "✗", "lost": "!", "busy": "▶", "queued": "…", "quiet": "■"}
_LOST = {
    Ending.EXPIRED: ("1 host was lost", "{} hosts were lost"),
    Ending.RELEASED: ("1 host gave it back", "{} hosts gave it back"),
    Ending.REQUEUED: ("1 was taken away", "{} were taken away"),
}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Verdict(NamedTuple):
    """A sentence, and what more there is to it."""

    kind: str  # one of _MARKS: how it looks
    sentence: str
    more: list[str]
    error: CompileError | None = None  # that it is about

    @property
    def mark(self) -> str:
        """A sign that is told by its form, not by its colour."""
        return _MARKS[self.kind]


class Known(NamedTuple):
    """What a verdict is made of."""

    job: Any  # as an event of the API shows it
    when: Callable[[datetime], str]  # a moment in words
    error: CompileError | None = None  # the first
    errors: int = 0  # how many
    execute_log: bytes = b""  # of the result
    cancelled: Happening | None = None  # who asked for it
    requeued: Happening | None = None  # who had it run again
    is_late: bool = False  # the executor that runs it was not heard of in time


def verdict_of(known: Known) -> Verdict:
    """The verdict."""
    return {
        State.QUEUED: _queued,
        State.RUNNING: _running,
        State.FINISHED: _finished,
        State.CANCELLED: _cancelled,
        State.FAILED: _failed,
    }[known.job["state"]](known)


def _queued(known: Known) -> Verdict:
    job = known.job
    where = f"place {job['queue_position']}" if job["queue_position"] else "its place"
    length = job["queue_length"]
    of = f" of {length}" if length and length >= (job["queue_position"] or 0) else ""
    start = job["expected_start"]
    begins = f", starts {figures.start(**start)}" if start else ""
    sentence = f"Waits at {where}{of} for {job['platform']}{begins}."
    more = waiting({**job, "expected_start": None})
    if known.requeued:
        more.append(f"{_name(known.requeued)} had it run again at {known.when(known.requeued.at)}.")
    return Verdict("queued", sentence, more)


def _running(known: Known) -> Verdict:
    job, attempt = known.job, known.job["attempts"][-1] if known.job["attempts"] else None
    wanted = "its turn" if job["platform"] == "cpu" else "a GPU"
    doing = {
        Phase.COMPILING: "Compiles",
        Phase.WAITING: f"Is compiled and waits for {wanted}",
        Phase.EXECUTING: "Runs",
    }.get(job["phase"], "Runs")
    since = f", since {known.when(attempt['started_at'])}" if attempt else ""
    more = []
    if known.cancelled and job["cancel_requested_at"]:
        asked = known.when(job["cancel_requested_at"])
        who = _name(known.cancelled)
        more.append(f"Cancel requested by {who} at {asked}: its host is to stop it.")
    if known.is_late:
        more.append("Its host was not heard of in time: it is run again elsewhere in a moment.")
    return Verdict("busy", f"{doing} on {job['executor']}{since}.", more)


def _finished(known: Known) -> Verdict:
    outcome, result = known.job["outcome"], known.job["result"] or {}
    if outcome == Outcome.SUCCEEDED:
        took = result.get("execute_seconds")
        ran = f": ran in {figures.duration(took)}" if took is not None else ""
        return Verdict("good", f"Succeeded{_on(known)}{ran}.", [])
    if outcome == Outcome.COMPILE_ERROR:
        return _not_compiled(known)
    limit = (result.get("details") or {}).get("limit")
    sentence = {
        Outcome.COMPILE_TIMEOUT: _limited("Took too long to compile", limit, "stopped after "),
        Outcome.RUNTIME_TIMEOUT: f"Ran out of time{f' after {limit}' if limit else ''}",
        Outcome.MEMORY_EXCEEDED: _limited("Used more memory than it may", limit),
        Outcome.OUTPUT_EXCEEDED: _limited("Printed or wrote more than it may", limit),
        Outcome.RUNTIME_ERROR: _failed_how(result),
    }.get(outcome, str(outcome))
    hint = ""
    if outcome == Outcome.RUNTIME_ERROR:
        hint = reading_of(known.execute_log, result.get("signal"))
    return Verdict("bad", f"{sentence}{_on(known)}.", [f"Often: {hint}"] if hint else [])


def _limited(sentence: str, limit: str | None, before: str = "limit ") -> str:
    return f"{sentence} ({before}{limit})" if limit else sentence


def _failed_how(result: dict[str, Any]) -> str:
    if number := result.get("signal"):
        return f"Killed by signal {number}{signal_name(number)},"
    code = result.get("exit_code")
    return f"Failed with exit status {code}" if code else "Failed"


def _not_compiled(known: Known) -> Verdict:
    if (error := known.error) is None:
        return Verdict("bad", f"Did not compile{_on(known, with_gpu=False)}.", [])
    at = f" at {error.place}" if error.line else f" in {error.name}" if error.name else ""
    more = [f"{known.errors} errors in all."] if known.errors > 1 else []
    return Verdict("bad", f"Compile error{at}: {error.words}", more, error)


def _cancelled(known: Known) -> Verdict:
    job, found = known.job, known.cancelled
    if other := job["replaced_by"]:
        at = f" at {known.when(job['finished_at'])}" if job["finished_at"] else ""
        return Verdict("quiet", f"Replaced by job {other}{at}, while it waited.", [])
    ran = any(attempt["ending"] == Ending.CANCELLED for attempt in job["attempts"])
    while_it = "while it ran" if ran else "while it waited"
    if found is None:
        return Verdict("quiet", f"Cancelled at {known.when(job['finished_at'])} {while_it}.", [])
    return Verdict(
        "quiet", f"Cancelled by {_name(found)} at {known.when(found.at)} {while_it}.", []
    )


def _failed(known: Known) -> Verdict:
    attempts = known.job["attempts"]
    counts = Counter(attempt["ending"] for attempt in attempts)
    parts = [_counted(*_LOST[ending], counts[ending]) for ending in _LOST if counts[ending]]
    reasons = list(dict.fromkeys(a["reason"] for a in attempts if a["reason"]))
    sentence = f"Failed: {', '.join(parts)}." if parts else "Failed: no attempt brought a result."
    more = [f"Said: {'; '.join(reasons[:3])}."] if reasons else []
    more.append("Not the student's mistake: mend the host, then run it again.")
    return Verdict("lost", sentence, more)


def _counted(one: str, several: str, count: int) -> str:
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return one.replace("1", "one") if count == 1 else several.format(number)


def _on(known: Known, *, with_gpu: bool = True) -> str:
    """Where it ran: " on gpu1 (NVIDIA H100)"."""
    details = (known.job["result"] or {}).get("details") or {}
    gpu = details.get("gpu")
    name = gpu.get("name") if with_gpu and isinstance(gpu, dict) else None
    kind = f" ({name})" if isinstance(name, str) and name else ""
    return f" on {known.job['executor']}{kind}" if known.job["executor"] else ""


def _name(entry: Happening) -> str:
    """Who it was: an executor is named as a host."""
    actor = entry.actor
    return f"host {actor.removeprefix('executor:')}" if actor.startswith("executor:") else actor
