"""What of a program's output the queue does not have."""

from __future__ import annotations

import re
from typing import Any

from handouts.client.words import in_size

NOTE = b"\n[... %d bytes left out ...]\n"  # as executors write it, where a log is too long
FOUND_NOTE = re.compile(rb"\n\[\.\.\. (\d{1,15}) bytes left out \.\.\.\](?=\n)")
HEAD_SHARE = 0.75  # of what is kept of a log stands before the note
LEAST_KEPT = 64  # bytes of a log


def what_is_left_out(job: dict[str, Any]) -> str:
    """Such as "16 of 40 files and 19.6 MiB of output were left out"; "" for nothing."""
    result = job["result"] or {}
    files, missing = files_left_out(result)
    told = [f"{missing} of {files} file{'' if files == 1 else 's'}"] if missing else []
    printed = 0 if job["outcome"] == "output_exceeded" else printed_left_out(result)
    if printed:
        told.append(f"{in_size(printed)} of output")
    is_one = len(told) == 1 and (printed or missing == 1)
    return f"{' and '.join(told)} {'was' if is_one else 'were'} left out" if told else ""


def files_left_out(result: dict[str, Any]) -> tuple[int, int]:
    """How many files the program left, and how many of them did not come back."""
    details = result.get("details")
    details = details if isinstance(details, dict) else {}
    named, more = details.get("files_left_out"), details.get("more_files_left_out")
    missing = len(named) if isinstance(named, list) else 0
    missing += more if isinstance(more, int) else 0
    listed = result.get("files")
    files = listed if isinstance(listed, list) else []
    gone = sum(1 for file in files if isinstance(file, dict) and file.get("removed"))
    return missing + len(files), missing + gone


def printed_left_out(result: dict[str, Any]) -> int:
    """How many bytes of what the program printed are not in its log.

    A program may print what looks like an executor's note; that stands elsewhere.
    """
    log = str(result.get("execute_log") or "").encode("utf-8", "surrogateescape")
    for note in FOUND_NOTE.finditer(log):
        before, after = note.start(), len(log) - note.end() - 1
        is_share = before == int((before + after) * HEAD_SHARE)
        if is_share and before + after >= LEAST_KEPT:
            return int(note[1])
    return 0
