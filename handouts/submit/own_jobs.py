"""The student's own jobs, as the queue knows them."""

from __future__ import annotations

from typing import Any

from handouts.submit.job_client import Client
from handouts.submit.job_lines import is_over
from handouts.submit.stop import REFUSED, WRONG_USAGE, Stop

LAST = "last"  # in place of a job's number
LONGEST_NUMBER = 100  # digits, which no job has
MOST_LISTED = 200  # by the queue, at once
UNFINISHED_LOOKED_AT = 50  # jobs; the newest, of which the unfinished ones are


def job_number(text: str) -> str:
    """What the command line calls a job, "last" or a number. Raises Stop."""
    if text.lower() == LAST:
        return LAST
    if not (text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER and int(text)):
        raise Stop(
            WRONG_USAGE, f"{text!r} is no job: say its number, as in 17, or {LAST} for your newest."
        )
    return str(int(text))


def number_of(client: Client, called: str) -> int:
    """The number of the job that is called so. Raises Stop."""
    if called != LAST:
        return int(called)
    newest = jobs_of(client, 1)
    if not newest:
        raise Stop(REFUSED, "You have no job yet.")
    return int(newest[0]["id"])


def jobs_of(client: Client, count: int) -> list[dict[str, Any]]:
    """The newest jobs, without their results. Raises Stop."""
    return jobs_in(client.ask(f"/jobs?limit={min(count, MOST_LISTED)}"))


def jobs_in(page: Any) -> list[dict[str, Any]]:
    """The jobs of a page; what is none is passed over."""
    jobs = page.get("results") if isinstance(page, dict) else None
    return [job for job in jobs or [] if isinstance(job, dict) and {"id", "state"} <= set(job)]


def unfinished_jobs(client: Client) -> list[dict[str, Any]]:
    """Those that wait or run, newest first. Raises Stop."""
    return [job for job in jobs_of(client, UNFINISHED_LOOKED_AT) if not is_over(job)]
