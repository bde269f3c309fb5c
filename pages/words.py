"""What a page says of a job, from what the API answers of it."""

from typing import Any, NamedTuple

from foundation import figures
from jobs.api.v1.answers import AttemptAnswer
from jobs.states import Outcome, State
from jobs.words import ENDINGS, OUTCOMES, PHASES, signal_name


class Standing(NamedTuple):
    """How a job stands."""

    kind: str  # "good", "bad", "busy" or "quiet": how it looks
    mark: str
    words: str

    @property
    def title(self) -> str:
        """For a tab, which shows a few letters."""
        return f"{self.mark} {self.words}"


def standing(job: Any) -> Standing:
    """`job` as a list or an event shows it."""
    if job["state"] == State.QUEUED:
        place = job["queue_position"]
        return Standing("quiet", "…", f"waiting, {figures.ordinal(place)} in the queue"
                        if place and place > 1 else "waiting, next in the queue")  # fmt: skip
    if job["state"] == State.RUNNING:
        wanted = "its turn" if job["platform"] == "cpu" else "a GPU"
        words = PHASES.get(job["phase"], "running").format(wanted)
        return Standing("busy", "▶", words + (", being cancelled" if is_ending(job) else ""))
    if job["state"] == State.CANCELLED:
        other = job.get("replaced_by")
        return Standing("quiet", "■", f"replaced by job {other}" if other else "cancelled")
    if job["state"] == State.FAILED:
        return Standing("bad", "!", "could not be run")
    if job["outcome"] == Outcome.SUCCEEDED:
        return Standing("good", "✓", "succeeded")
    return Standing("bad", "✗", OUTCOMES.get(job["outcome"], job["outcome"]))


def is_ending(job: Any) -> bool:
    """Whether it is to be stopped, and is not yet."""
    return job["state"] == State.RUNNING and job["cancel_requested_at"] is not None


def why(job: Any) -> str:
    """What more there is to say of how a job ended."""
    if job["state"] == State.FAILED:
        return f"{len(job['attempts'])} hosts were lost with it. Tell the course staff."
    result = job["result"] or {}
    if limit := (result.get("details") or {}).get("limit"):
        return f"It reached the limit of {limit}."
    if number := result.get("signal"):
        return f"It was killed by signal {number}{signal_name(number)}."
    return f"Its exit status was {code}." if (code := result.get("exit_code")) else ""


def attempt(attempt: AttemptAnswer) -> str:
    """How an attempt went."""
    words = ENDINGS.get(attempt["ending"], "is at work") if attempt["ending"] else "is at work"
    return f"{words}: {attempt['reason']}" if attempt["reason"] else words
