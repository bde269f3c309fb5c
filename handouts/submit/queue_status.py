"""--status: how the queue is, for everyone, and what of it is the student's."""

from __future__ import annotations

from typing import Any

from handouts.submit.listing import job_table, table
from handouts.submit.printable import printable
from handouts.submit.queue_state import dicts, how_it_is, how_many_jobs, trouble_with_hosts


def queue_lines(queue: dict[str, Any], own: list[dict[str, Any]]) -> list[str]:
    """What --status prints."""
    lines = [how_it_is(queue) or "The queue is open."]
    if queue.get("message"):
        lines.append(printable(str(queue["message"])))
    for one in dicts(queue.get("announcements")):
        text = one.get("text") or one.get("title") or ""
        lines += [printable(str(text))] if text else []
    lines.append(how_many_jobs(queue) + ".")
    lines += [printable(sentence) for sentence in trouble_with_hosts(queue)]
    platforms = dicts(queue.get("platforms"))
    if platforms:
        head = ["platform", "hosts", "GPUs", "waiting"]
        lines += ["", *table([head, *map(platform_row, platforms)], right=(1, 2, 3))]
    lines.append("")
    return lines + (["Your jobs:", *job_table(own)] if own else ["No job of yours waits or runs."])


def platform_row(platform: dict[str, Any]) -> list[str]:
    keys = ("name", "executors", "gpus", "queued")
    return [printable(str(platform.get(key, "?"))) for key in keys]
