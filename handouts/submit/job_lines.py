"""What is said of a job, each in one line."""

from __future__ import annotations

from typing import Any

from handouts.submit.moments import since_in_words, start_in_words
from handouts.submit.printable import printable

WAITS = {
    "paused": "the queue is paused",
    "held": "the course staff hold it back",
    "data": "its data is on the way",
}


def is_over(job: dict[str, Any]) -> bool:
    """Whether nothing will happen to it any more."""
    return job["state"] not in ("queued", "running")


def status_line(job: dict[str, Any]) -> str:
    """What the job is waiting for, in a line."""
    head = f"Job {job['id']}: "
    lost = lost_before(job)
    again = f" ({lost})" if lost else ""
    if job["state"] == "queued":
        place = place_in_words(job, "position {} in the queue")
        return head + printable(f"waiting, {place}" + what_it_waits_for(job)) + printable(again)
    doing = {
        "compiling": "compiling",
        "waiting": f"compiled, waiting for {wanted_place(job)}",
        "executing": "running",
    }.get(job.get("phase"), "running")
    place = job.get("queue_position")
    later = (f", position {place}" if place else "") + when_its_turn_comes(job)
    stop = ", being cancelled" if job.get("cancel_requested_at") else ""
    return head + printable(f"{doing} on {job.get('executor')}{later}{stop}{again}")


def what_changes(job: dict[str, Any]) -> list[Any]:
    """What a new status line is worth at once: all in it but the place and the times."""
    keys = ("id", "state", "phase", "executor", "waiting_for")
    return [*map(job.get, keys), job.get("cancel_requested_at"), len(job.get("attempts", []))]


def lost_before(job: dict[str, Any]) -> str:
    """Which host was lost with it, "" if none was."""
    lost = [a for a in job.get("attempts", []) if a.get("ending") in ("expired", "released")]
    return f"again: {lost[-1]['executor']} was lost" if lost else ""


def wanted_place(job: dict[str, Any]) -> str:
    """What a job waits for that is compiled."""
    return "its turn" if job.get("platform") == "cpu" else "a GPU"


def place_in_words(job: dict[str, Any], form: str = "") -> str:
    """Its place among those that wait: "next in the queue" only if nothing runs before it either.

    `form`: how another place is said; else as "4th of 9".
    """
    place, before, length = map(job.get, ("queue_position", "jobs_before", "queue_length"))
    if place == 1 and not (isinstance(before, int) and before > 0):
        return "next in the queue"
    if form or not isinstance(place, int):
        return (form or "in the queue").format(place)
    if place == 1:
        return "first in the queue"
    rest = f"of {max(place, length)}" if isinstance(length, int) else "in the queue"
    return f"{ordinal(place)} {rest}"


def ordinal(number: int) -> str:
    """Such as "4th"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10)
    return f"{number}{ending or 'th'}"


def what_it_waits_for(job: dict[str, Any]) -> str:
    """Why a queued job does not run yet, to come after its place; "" for its turn alone."""
    missing = missing_host(job, " has been connected")
    if missing:
        return f", but {missing}"
    reason = WAITS.get(str(job.get("waiting_for")))
    return (f", but {reason}" if reason else "") + when_its_turn_comes(job)


def missing_host(job: dict[str, Any], how: str = "") -> str:
    """That no host is there for it, and since when; "" if that is not why it waits."""
    if job.get("waiting_for") != "no-executor":
        return ""
    platform = str(job.get("platform") or "")
    host = "GPU host" if platform == "cuda" else f"host for {platform}" if platform else "host"
    since = since_in_words(job.get("no_executor_since"))
    return f"no {host}{how}{since}" if since else f"no {host} is connected"


def when_its_turn_comes(job: dict[str, Any]) -> str:
    """After how many jobs, and when, as far as the queue can tell."""
    first = ends_first(job)
    return (f", {first}" if first else "") + start_in_words(job)


def ends_first(job: dict[str, Any]) -> str:
    """How many jobs end before it runs; "" for none, or where the queue cannot tell."""
    count = job.get("jobs_before")
    if not isinstance(count, int) or count < 1:
        return ""
    return "1 job ends first" if count == 1 else f"{count} jobs end first"
