"""Saving the output files of a job. Nothing that is there already is overwritten."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.client.words import in_size, warn
from handouts.submit.as_typed import as_typed
from handouts.submit.file_names import free_name, safe_name
from handouts.submit.job_client import Client, refusal
from handouts.submit.printable import printable
from handouts.submit.stop import REFUSED, UNREACHABLE, UNSAVED, Stop
from handouts.submit.written_beside import lost_beside


def save_files(client: Client, job: dict[str, Any], folder: Path) -> bool:
    """Saves what the job's program left in ./out/; whether all of it is there now."""
    result = job["result"] or {}
    details = result.get("details") or {}
    say_left_out(details)
    if lost := lost_beside(details):
        warn(printable(lost))
    saved = True
    for name, name_here in names_on_disk(result):
        path = folder / name_here
        try:
            message = save(client.file(job["id"], name), path)
        except OSError as error:
            saved, message = False, f"{path} cannot be saved: {error.strerror}."
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            saved, message = False, f"{path} was not saved: {stop}"
        warn(printable(message))
    if not saved:
        again = as_typed("--attach", str(job["id"]), "--out", "DIR")
        warn(f"The queue keeps the files. To get them: {again}")
    return saved


def names_on_disk(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The result's files: what the queue calls each, and what it is called here."""
    taken: set[str] = set()
    names = listed(result.get("files"), "name")
    return [(name, free_name(safe_name(name), taken)) for name in names]


def save(answer: Answer, path: Path) -> str:
    """Makes the file; returns a message about it. Raises OSError, and Stop if it cannot be had."""
    if not isinstance(answer.body, bytes):
        raise Stop(REFUSED, refusal(answer) if answer.status >= 400 else "the queue sent no file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError:
        if holds(path, answer.body):
            return f"{path} is there already."
        raise Stop(UNSAVED, "another file of that name is there, and is left as it is.") from None
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink()
        raise
    return f"Saved {path} ({in_size(len(answer.body))})."


def holds(path: Path, content: bytes) -> bool:
    """Whether the file is this one. Another who watches the job may be saving it just now."""
    for wait in (0.02, 0.1, 0.5, 1.0, 0.0):
        found = path.read_bytes() if path.is_file() else None
        if found == content:
            return True
        if found is None or not content.startswith(found):
            break
        time.sleep(wait)
    return False


def listed(items: Any, key: str) -> Any:
    """The strings under `key` in a list of objects; what has another form is passed over."""
    items = items if isinstance(items, list) else []
    return [str(item[key]) for item in items if isinstance(item, dict) and key in item]


def say_left_out(details: dict[str, Any]) -> None:
    """Says which files did not come back, and why."""
    left_out = details.get("files_left_out")
    for name, reason in zip(listed(left_out, "name"), listed(left_out, "reason")):
        warn(printable(f"Not saved: {name}: {reason}."))
    if details.get("more_files_left_out"):
        warn(printable(f"Not saved: {details['more_files_left_out']} more."))
