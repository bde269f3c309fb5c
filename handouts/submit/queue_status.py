"""--status: how the queue is, for everyone, and what of it is the student's."""

from __future__ import annotations

from typing import Any

from handouts.submit.listing import job_table, table
from handouts.submit.printable import printable


def queue_lines(queue: dict[str, Any], own: list[dict[str, Any]]) -> list[str]:
    """What --status prints."""
    lines = [how_it_is(queue)]
    if queue.get("message"):
        lines.append(printable(str(queue["message"])))
    for one in dicts(queue.get("announcements")):
        text = one.get("text") or one.get("title") or ""
        lines += [printable(str(text))] if text else []
    lines += [counted(queue.get("queued"), "job waits", "jobs wait")
              + ", " + counted(queue.get("running"), "runs", "run") + "."]  # fmt: skip
    platforms = dicts(queue.get("platforms"))
    if platforms:
        head = ["platform", "hosts", "GPUs", "waiting"]
        lines += ["", *table([head, *map(platform_row, platforms)], right=(1, 2, 3))]
    else:
        lines.append("No host is connected.")
    lines.append("")
    return lines + (["Your jobs:", *job_table(own)] if own else ["No job of yours waits or runs."])


def how_it_is(queue: dict[str, Any]) -> str:
    if not queue.get("accepting", True):
        return "The queue takes no jobs at present."
    if not queue.get("starting", True):
        return "The queue takes jobs, but starts none at present."
    return "The queue is open."


def platform_row(platform: dict[str, Any]) -> list[str]:
    keys = ("name", "executors", "gpus", "queued")
    return [printable(str(platform.get(key, "?"))) for key in keys]


def counted(count: Any, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def dicts(items: Any) -> list[dict[str, Any]]:
    """The objects in a list; what has another form is passed over."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
