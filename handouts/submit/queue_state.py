"""How the queue is, and its hosts: the words of --status and --doctor."""

from __future__ import annotations

from typing import Any

from handouts.client.answer import Answer
from handouts.submit.stop import REFUSED
from handouts.submit.wrong import Wrong

NO_HOST = "No host is connected: jobs wait until one is."


def how_it_is(queue: dict[str, Any]) -> str:
    """What keeps jobs from running, "" if nothing does."""
    if queue.get("accepting") is False:
        return "The queue takes no jobs at present."
    if queue.get("starting") is False:
        return "The queue takes jobs, but starts none at present."
    return ""


def how_many_jobs(queue: dict[str, Any]) -> str:
    """Such as "3 jobs wait, 1 runs"."""
    queued, running = queue.get("queued", "?"), queue.get("running", "?")
    return f"{counted(queued, 'job waits', 'jobs wait')}, {counted(running, 'runs', 'run')}"


def trouble_with_hosts(queue: dict[str, Any]) -> list[str]:
    """What jobs wait for in vain: a sentence each."""
    there = [one for one in dicts(queue.get("platforms")) if count_of(one, "executors")]
    if not there:
        return [NO_HOST]
    return [
        f"The hosts of {one.get('name')} have no GPU: programs that use one fail there."
        for one in there
        if one.get("name") != "cpu" and one.get("gpus") == 0
    ]


def about_state(answer: Answer) -> str:
    """Whether it takes and starts jobs, for --doctor. Raises Wrong."""
    if answer.status == 404:
        return "older than this submit.py; how it is, it does not say"
    if trouble := how_it_is(answer.body):
        mend = str(answer.body.get("message") or "")
        raise Wrong(trouble, mend or "Wait, or ask the course staff.", REFUSED)
    return f"The queue is open. {how_many_jobs(answer.body)}."


def about_hosts(answer: Answer) -> str:
    """Which are there, for --doctor. Raises Wrong if there is none."""
    if answer.status == 404:
        return "the queue does not say"
    trouble = trouble_with_hosts(answer.body)
    if NO_HOST in trouble:
        raise Wrong(NO_HOST, "The course staff see that too.", REFUSED)
    platforms = dicts(answer.body.get("platforms"))
    there = ", ".join(in_a_word(one) for one in platforms if count_of(one, "executors"))
    return ". ".join([there, *trouble])


def in_a_word(platform: dict[str, Any]) -> str:
    """Such as "h100: 2 hosts"."""
    return f"{platform.get('name')}: {counted(platform['executors'], 'host', 'hosts')}"


def count_of(platform: dict[str, Any], key: str) -> int:
    count = platform.get(key)
    return count if isinstance(count, int) and count > 0 else 0


def counted(count: Any, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def dicts(items: Any) -> list[dict[str, Any]]:
    """The objects in a list; what has another form is passed over."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
