"""How the queue is, for --doctor."""

from __future__ import annotations

from typing import Any

from handouts.client.answer import Answer
from handouts.submit.stop import REFUSED
from handouts.submit.wrong import Wrong


def about_state(answer: Answer) -> str:
    """Whether it takes and starts jobs. Raises Wrong."""
    if answer.status == 404:
        return "older than this submit.py; how it is, it does not say"
    queue = answer.body
    words = str(queue.get("message") or "")
    if queue.get("accepting") is False:
        raise Wrong("it takes no jobs now.", words or "Ask the course staff.", REFUSED)
    if queue.get("starting") is False:
        raise Wrong("it takes jobs, and starts none now.", words or "Wait.", REFUSED)
    return f"open; {queue.get('queued', '?')} jobs wait, {queue.get('running', '?')} run"


def about_hosts(answer: Answer) -> str:
    """Which are there. Raises Wrong if there is none."""
    if answer.status == 404:
        return "the queue does not say"
    platforms = answer.body.get("platforms")
    there = [in_a_word(one) for one in platforms or [] if isinstance(one, dict) and is_there(one)]
    if not there:
        raise Wrong(
            "none is connected: jobs wait until one is.", "The course staff see that too.", REFUSED
        )
    return ", ".join(there)


def is_there(platform: dict[str, Any]) -> bool:
    count = platform.get("executors")
    return isinstance(count, int) and count > 0


def in_a_word(platform: dict[str, Any]) -> str:
    """Such as "h100: 2 hosts"."""
    count = platform["executors"]
    return f"{platform.get('name')}: {count} host{'' if count == 1 else 's'}"
