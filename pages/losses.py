"""What a program wrote or printed and the queue does not have, in the words of submit.py's end.

As handouts/submit/left_out.py, which cannot be imported from here.
"""

import re
from typing import Any

from foundation import figures
from jobs.states import Outcome

_NOTE = re.compile(rb"\n\[\.\.\. (\d{1,15}) bytes left out \.\.\.\](?=\n)")  # an executor's
_HEAD_SHARE = 0.75  # of what is kept of a log stands before the note
_LEAST_KEPT = 64  # bytes of a log


def in_words(job: Any, log: bytes) -> str:
    """Such as "5 of 21 files and 9.1 MiB of output were left out"; "" for nothing.

    `log`: what the program printed.
    """
    if job["result"] is None:
        return ""
    files, missing = _files(job["result"])
    told = [f"{missing} of {files} file{'' if files == 1 else 's'}"] if missing else []
    printed = 0 if job["outcome"] == Outcome.OUTPUT_EXCEEDED else _printed(log)
    if printed:
        told.append(f"{figures.size(printed)} of output")
    is_one = len(told) == 1 and (printed or missing == 1)
    return f"{' and '.join(told)} {'was' if is_one else 'were'} left out" if told else ""


def _files(result: dict[str, Any]) -> tuple[int, int]:
    """How many files the program left, and how many of them are not kept."""
    details = result.get("details") or {}
    named, more = details.get("files_left_out"), details.get("more_files_left_out")
    missing = (len(named) if isinstance(named, list) else 0) + (
        more if isinstance(more, int) else 0
    )
    listed = result.get("files") or []
    gone = sum("removed" in file for file in listed)
    return missing + len(listed), missing + gone


def _printed(log: bytes) -> int:
    """How many bytes are missing. A program may print what looks like a note; that is elsewhere."""
    for note in _NOTE.finditer(log):
        before, after = note.start(), len(log) - note.end() - 1
        is_share = before == int((before + after) * _HEAD_SHARE)
        if is_share and before + after >= _LEAST_KEPT:
            return int(note[1])
    return 0
