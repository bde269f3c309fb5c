"""`audit_log.jsonl`, which follows the audit table.

The table is the truth. The file is brought up to it after each commit and when a server
starts; what a crash or a full disk kept from the file is appended by the next one who can.
"""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from foundation.database import connections
from foundation.serving import greenlets
from foundation.serving.greenlets import in_a_thread, on_the_hub
from jobs.audit.lines import last_entry, line_of, opened, time_of
from jobs.audit.models import AuditEntry
from jobs.audit.rewriting import rewrites

log = logging.getLogger(__name__)

_BATCH = 500  # entries read at once: a line may be a megabyte
_GATHER_SECONDS = 0.2  # under load one append serves many commits
_SETTLED_SECONDS = 10.0  # after the last change of entries: one new file serves many


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


def follow(*, set_aside: bool = False, at_once: bool = False) -> int:
    """Appends the lines that the file lacks, in order of id, and returns how many.

    If entries were changed since the file was written (`rewriting`), it is written anew: when no
    more of them change, or `at_once`. Never raises for a file that cannot be written: what happened
    has happened, and the file catches up later. One process appends at a time. A file that goes on
    after the table, or ends otherwise, is another database's: with `set_aside`, as a server starts,
    it is kept under another name and written anew; else it is left alone.
    """
    try:
        with _locked(settings.TELERUN_AUDIT_LOG) as file:
            is_old, is_due = _rewrites.look(at_once or set_aside)
            last_id, last_line = last_entry(file)
            if last_id and not _is_in_the_table(last_id, last_line, is_old):
                if not set_aside:
                    log.warning("%s is of another database.", settings.TELERUN_AUDIT_LOG)
                    return 0
                _set_aside(settings.TELERUN_AUDIT_LOG)
                return follow(at_once=True)
            if is_due:
                return _write_anew(settings.TELERUN_AUDIT_LOG)
            return sum(_append(file, batch) for batch in _durable_batches_after(last_id))
    except OSError as error:
        log.error(
            "%s cannot be written and will catch up later: %s",
            settings.TELERUN_AUDIT_LOG,
            error.strerror,
        )
        return 0


def _is_in_the_table(last_id: int, last_line: bytes, may_be_changed: bool) -> bool:
    """Whether the line is the entry; of one that may have been changed since, its time tells."""
    entry = AuditEntry.objects.filter(pk=last_id).first()
    if entry is None or line_of(entry) == last_line:
        return entry is not None
    return may_be_changed and json.loads(last_line).get("timestamp") == time_of(entry)


def _set_aside(path: Path) -> None:
    kept = path.with_name(f"{path.name}.{timezone.now():%Y%m%dT%H%M%S%f}")
    path.rename(kept)
    log.warning("%s is of another database; it is kept as %s.", path.name, kept.name)


def _locked(path: Path) -> IO[bytes]:
    """The file that has the name, once nobody else writes."""
    while True:
        file = opened(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # it was written anew, or set aside, while we waited


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


# --- Entries that were changed: the whole file is written anew ----------------------------


class _Rewrites:
    """For how many changes of entries the file was written: a number in a file beside it."""

    def __init__(self) -> None:
        self._seen = (-1, 0.0)  # the table's number, and since when it is that

    def look(self, at_once: bool) -> tuple[bool, bool]:
        """Whether entries were changed since the file was written, and whether to write it now."""
        wanted = rewrites()
        if wanted == self.of_file():
            return False, False
        if self._seen[0] != wanted:
            self._seen = (wanted, time.monotonic())
        return True, at_once or time.monotonic() - self._seen[1] >= _SETTLED_SECONDS

    def of_file(self) -> int:
        """0 where nothing says so: as a file is that was never written anew."""
        try:
            return int(_beside("rewrites").read_text())
        except (OSError, ValueError):
            return 0

    def keep(self, count: int) -> None:
        with opened(_beside("rewrites"), os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
            file.write(b"%d\n" % count)


_rewrites = _Rewrites()


def is_up_to_date() -> bool:
    """Whether no line of the file is of an entry as it was before a change."""
    return rewrites() == _rewrites.of_file()


def _beside(ending: str) -> Path:
    path = Path(os.path.realpath(settings.TELERUN_AUDIT_LOG))
    return path.with_name(f"{path.name}.{ending}")


def _write_anew(path: Path) -> int:
    """In place of the file, whose lock is held; who waits for that takes the new one. Returns 0:
    no line is new. Raises OSError, and then the old file is as it was."""
    count, new = rewrites(), _beside("new")  # the count before the rows: at worst it is done again
    with opened(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
        try:
            for batch in _durable_batches_after(0):
                _append(file, batch)
            os.fsync(file.fileno())
        except OSError:
            new.unlink(missing_ok=True)
            raise
    os.replace(new, os.path.realpath(path))
    _sync_folder(new.parent)
    _rewrites.keep(count)
    log.info("%s is written anew: entries were changed.", path.name)
    return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
