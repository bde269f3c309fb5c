"""Saving the output files of a job. Nothing of the student's is overwritten."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.client.words import in_size
from handouts.submit.as_typed import as_typed
from handouts.submit.file_names import free_name, safe_name
from handouts.submit.job_client import Client, refusal
from handouts.submit.notices import notice, tell
from handouts.submit.own_files import RECORD, OwnFiles, replace
from handouts.submit.printable import printable
from handouts.submit.stop import REFUSED, UNREACHABLE, UNSAVED, Stop
from handouts.submit.written_beside import lost_beside

MOST_NAMED = 4  # more files are counted


def save_files(
    client: Client, job: dict[str, Any], folder: Path, own: OwnFiles | None = None
) -> bool:
    """Saves what the job's program left in ./out/; whether all of it is there now.

    `own`: those of the folder's files that may be replaced.
    """
    result = job["result"] or {}
    details = result.get("details") or {}
    say_left_out(details)
    if lost := lost_beside(details):
        tell(printable(lost))
    saved, told, size = True, [], 0
    gone = removed(result)
    say_not_saved(gone, "the queue removed it to make room for newer ones of yours")
    for name, name_here in names_on_disk(result):
        path = folder / name_here
        if name in gone:
            continue
        try:
            answer = client.file(job["id"], name)
            told.append(save(answer, path, own))
            size += len(answer.body)
        except OSError as error:
            saved = False
            tell(printable(f"{path} cannot be saved: {error.strerror}."))
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            saved = False
            tell(printable(f"{path} was not saved: {stop}"))
    if len(told) > MOST_NAMED:
        told = [f"{len(told)} files ({in_size(size)}) are saved in {folder}."]
    for message in told:
        notice(printable(message))
    if not saved:
        again = as_typed("--attach", str(job["id"]), "--out", "DIR")
        tell(f"The queue keeps the files. To get them: {again}")
    return saved


def names_on_disk(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The result's files: what the queue calls each, and what it is called here."""
    taken = {RECORD}
    names = listed(result.get("files"), "name")
    return [(name, free_name(safe_name(name), taken)) for name in names]


def removed(result: dict[str, Any]) -> list[str]:
    """The names of files that the queue had, and has no longer."""
    files = result.get("files")
    files = files if isinstance(files, list) else []
    return listed(
        [file for file in files if isinstance(file, dict) and file.get("removed")], "name"
    )


def saved_files(job: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """The job's output files that are in the folder now: what each is called, and where it is."""
    return [
        {"name": name, "path": str(folder / name_here)}
        for name, name_here in names_on_disk(job["result"] or {})
        if (folder / name_here).is_file()
    ]


def save(answer: Answer, path: Path, own: OwnFiles | None = None) -> str:
    """Makes the file; returns a message about it. Raises OSError, and Stop if it cannot be had."""
    if not isinstance(answer.body, bytes):
        raise Stop(REFUSED, refusal(answer) if answer.status >= 400 else "the queue sent no file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError:
        return save_again(answer.body, path, own)
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink()
        raise
    if own:
        own.note(path, answer.body)
    return f"Saved {path} ({in_size(len(answer.body))})."


def save_again(content: bytes, path: Path, own: OwnFiles | None) -> str:
    """The same where a file of that name is there. Raises OSError, and Stop if it stays."""
    if holds(path, content):
        message = f"{path} is there already."
    elif own and own.may_replace(path):
        replace(path, content)
        message = f"Saved {path} ({in_size(len(content))}), in place of the last run's."
    else:
        force = "; --force replaces it" if own and not own.force else ""
        raise Stop(UNSAVED, f"another file of that name is there, and is left as it is{force}.")
    if own:
        own.note(path, content)
    return message


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
    names: dict[str, list[str]] = {}  # by the reason
    for name, reason in zip(listed(left_out, "name"), listed(left_out, "reason")):
        names.setdefault(reason, []).append(name)
    for reason, same in names.items():
        say_not_saved(same, reason)
    if details.get("more_files_left_out"):
        tell(printable(f"Not saved: {details['more_files_left_out']} more."))


def say_not_saved(names: list[str], reason: str) -> None:
    """One line for all of them."""
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        tell(printable(f"Not saved: {names[0]}{more}: {reason}."))
