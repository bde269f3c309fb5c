"""Lines of `audit_log.jsonl`: writing an entry as one, and finding the last whole one."""

import json
import logging
import os
from datetime import timezone as time_zone
from pathlib import Path
from typing import IO

from jobs.audit.models import AuditEntry

log = logging.getLogger(__name__)

_TAIL = 64 * 1024  # bytes read at a time when looking back for the last line


def line_of(entry: AuditEntry) -> bytes:
    """The line of the file that is `entry`."""
    members = {
        "id": entry.id,
        "timestamp": time_of(entry),
        "username": entry.username,
        "action": entry.action,
        "job_id": entry.job_id,
        "request": entry.request,
        **({"address": entry.address} if entry.address else {}),
    }
    return json.dumps(members).encode() + b"\n"


def time_of(entry: AuditEntry) -> str:
    return entry.timestamp.astimezone(time_zone.utc).isoformat().replace("+00:00", "Z")


def opened(path: Path, flags: int) -> IO[bytes]:
    """Unbuffered: what a full disk refused must not be tried again when the file is closed."""
    return open(os.open(path, flags | os.O_CLOEXEC, 0o600), "r+b", buffering=0)


def last_entry(file: IO[bytes]) -> tuple[int, bytes]:
    """The file's last whole line and its id; what stands torn after it is cut off."""
    while last := _last_line(file):
        start, text = last
        try:
            if text.endswith(b"\n"):
                file.seek(0, os.SEEK_END)
                return int(json.loads(text)["id"]), text
        except (ValueError, TypeError, KeyError):
            pass
        log.warning("%s ended in a torn line, which is written anew.", file.name)
        file.truncate(start)
    return 0, b""


def _last_line(file: IO[bytes]) -> tuple[int, bytes] | None:
    """Where the last line starts, and the line; None in an empty file."""
    start = file.seek(0, os.SEEK_END)
    text = b""
    while start > 0:
        step = min(_TAIL, start)
        start -= step
        file.seek(start)
        text = file.read(step) + text
        before = text.rfind(b"\n", 0, -1)
        if before >= 0:
            return start + before + 1, text[before + 1 :]
    return (0, text) if text else None
