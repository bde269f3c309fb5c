"""`audit_log.jsonl`, which follows the audit table.

The table is the truth. The file is brought up to it after each commit and when a server
starts; what a crash or a full disk kept from the file is appended by the next one who can.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import timezone as time_zone
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from foundation.database import connections
from foundation.serving import greenlets
from foundation.serving.greenlets import in_a_thread, on_the_hub
from jobs.audit.models import AuditEntry

log = logging.getLogger(__name__)

_BATCH = 500  # entries read at once: a line may be a megabyte
_GATHER_SECONDS = 0.2  # under load one append serves many commits
_TAIL = 64 * 1024  # bytes read at a time when looking back for the last line


class _Follower:
    """A thread that brings the file up to the table, so that no request waits for it."""

    def __init__(self) -> None:
        self._wanted = greenlets.Event()
        self._pid = 0

    def start(self) -> None:
        self._pid = os.getpid()
        greenlets.spawn(self._run, "audit")

    def soon(self) -> None:
        if self._pid == os.getpid():
            on_the_hub(self._wanted.set)
        else:  # a command's process: there is nobody else to do it
            follow()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(_GATHER_SECONDS)
            self._wanted.clear()
            in_a_thread(self._follow)

    def _follow(self) -> None:
        try:
            follow()
        except DatabaseError as error:  # the sweep tries again
            log.warning("The audit file waits for the database: %s", str(error).strip())
        except Exception:
            log.exception("The audit file is not up to date")
        finally:
            connection.close()


_follower = _Follower()
start_following = _follower.start  # in a server's process


def follow_soon() -> None:
    """The file is brought up to the table a moment later, without anybody's waiting for it."""
    _follower.soon()


def follow(*, set_aside: bool = False) -> int:
    """Appends the lines that the file lacks, in order of id, and returns how many.

    Never raises for a file that cannot be written: what happened has happened, and the
    file catches up later. One process appends at a time. A file that goes on after the table, or
    ends otherwise, is another database's: with `set_aside`, as a server starts, it is kept under
    another name and written anew; else it is left alone.
    """
    try:
        with _locked(settings.TELERUN_AUDIT_LOG) as file:
            last_id, last_line = _last_entry(file)
            if last_id and not _is_in_the_table(last_id, last_line):
                if not set_aside:
                    log.warning("%s is of another database.", settings.TELERUN_AUDIT_LOG)
                    return 0
                _set_aside(settings.TELERUN_AUDIT_LOG)
                return follow()
            return sum(_append(file, batch) for batch in _durable_batches_after(last_id))
    except OSError as error:
        log.error(
            "%s cannot be written and will catch up later: %s",
            settings.TELERUN_AUDIT_LOG,
            error.strerror,
        )
        return 0


def _is_in_the_table(last_id: int, last_line: bytes) -> bool:
    entry = AuditEntry.objects.filter(pk=last_id).first()
    return entry is not None and line_of(entry) == last_line


def _set_aside(path: Path) -> None:
    kept = path.with_name(f"{path.name}.{timezone.now():%Y%m%dT%H%M%S%f}")
    path.rename(kept)
    log.warning("%s is of another database; it is kept as %s.", path.name, kept.name)


def line_of(entry: AuditEntry) -> bytes:
    """The line of the file that is `entry`."""
    members = {
        "id": entry.id,
        "timestamp": entry.timestamp.astimezone(time_zone.utc).isoformat().replace("+00:00", "Z"),
        "username": entry.username,
        "action": entry.action,
        "job_id": entry.job_id,
        "request": entry.request,
    }
    return json.dumps(members).encode() + b"\n"


def _locked(path: Path) -> IO[bytes]:
    # Unbuffered: what a full disk refused must not be tried again when the file is closed.
    file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
    return file


def _last_entry(file: IO[bytes]) -> tuple[int, bytes]:
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


def _batches_after(last_id: int) -> Iterator[list[AuditEntry]]:
    while batch := list(AuditEntry.objects.filter(id__gt=last_id).order_by("id")[:_BATCH]):
        yield batch
        last_id = batch[-1].id


def _durable_batches_after(last_id: int) -> Iterator[list[AuditEntry]]:
    """No line may survive a power cut that its entry does not."""
    for batch in _batches_after(last_id):
        connections.make_durable()
        yield batch


def _append(file: IO[bytes], batch: list[AuditEntry]) -> int:
    start = file.tell()
    try:
        rest = memoryview(b"".join(map(line_of, batch)))
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        os.ftruncate(file.fileno(), start)  # no torn line stays behind a full disk
        raise
    return len(batch)
