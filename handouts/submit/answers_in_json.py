"""--json: what came of it as one object on standard output, and nothing else there."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any

from handouts.client.words import warn
from handouts.submit.terminals import Look

TIMES = "\u00d7"


def put_json(status: int, **members: Any) -> None:
    """One line, in ASCII, so that no encoding on the way can spoil it."""
    document = {"exit_status": status, **members}
    if isinstance(document.get("job"), dict):
        document["job"] = without_etag(document["job"])
    put(json.dumps(document).encode() + b"\n")


def put_lines(lines: list[str]) -> None:
    """Lines for people, as the terminal can show them, in whole words; or in UTF-8."""
    encoding = (sys.stdout.encoding if sys.stdout.isatty() else "") or "utf-8"
    look = Look(sys.stdout)
    text = "".join(look.wrapped(line) + "\n" for line in lines)
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("→", "->").replace(TIMES, "x")
        data = text.encode(encoding, "backslashreplace")
    put(data)


_unwritten: list[bool] = []


def is_unwritten() -> bool:
    """Whether something could not be written, and somebody wanted it."""
    return bool(_unwritten)


def put(data: bytes) -> None:
    """That nobody reads it is no reason to stop."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except OSError as error:
        give_up_output(error)


def give_up_output(error: OSError) -> bool:
    """Nothing more can be written to standard output. Whether somebody wanted it: says so then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a pipe
        return False
    _unwritten.append(True)
    warn(f"submit.py: its output cannot be written: {error.strerror or error}.")
    return True


def without_etag(job: dict[str, Any]) -> dict[str, Any]:
    """The job as the queue answered it."""
    return {name: value for name, value in job.items() if name != "etag"}
