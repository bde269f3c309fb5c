"""The logs of a job, as files beside those that its program wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.submit.file_names import free_name
from handouts.submit.live import logs_of
from handouts.submit.notices import notice, tell
from handouts.submit.output_files import names_on_disk, save
from handouts.submit.own_files import OwnFiles
from handouts.submit.printable import printable
from handouts.submit.stop import Stop

LOGS = {"compile_log": "compile-log.txt", "execute_log": "execute-log.txt"}


def save_logs(job: dict[str, Any], folder: Path, own: OwnFiles | None = None) -> None:
    """Saves both logs, byte for byte, if any were kept. What goes wrong is only said.

    `own`: those of the folder's files that may be replaced.
    """
    _, logs = logs_of(job)
    if not logs:
        return
    taken = {name.lower() for _, name in names_on_disk(job["result"] or {})}
    try:
        saved = [save_log(logs.get(log), folder / free_name(LOGS[log], taken), own) for log in LOGS]
    except OSError as error:
        tell(printable(f"The logs cannot be saved in {folder}: {error.strerror}."))
    else:
        if all(saved):
            where = "this folder" if folder == Path() else folder
            notice(printable(f"The logs are in {where}."))


def save_log(log: Any, path: Path, own: OwnFiles | None) -> bool:
    """Whether the log is in that file now; says why not. Raises OSError."""
    try:
        save(Answer(200, {}, str(log or "").encode("utf-8", "surrogateescape")), path, own)
    except Stop as stop:
        tell(printable(f"{path} was not saved: {stop}"))
        return False
    return True
