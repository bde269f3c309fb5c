"""What is said to a student who may have meant something else."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from handouts.submit.c_includes import CODE_ENDINGS, HEADER_ENDINGS
from handouts.submit.notices import notice
from handouts.submit.printable import printable
from handouts.submit.submission import Submission

SHOWN_MISSING = 5
# The line of a compiler that does not find a file: gcc's, nvcc's, clang's.
MISSED = re.compile(
    r"^.{0,4096}(?:No such file|open source file|file not found).{0,4096}", re.MULTILINE
)


def hint_at_arguments(submission: Submission, folder: Path) -> None:
    """Says which arguments look like files that were to be sent."""
    sent = {submission.main, *submission.sources, *submission.includes}
    for arg in submission.body["args"]:
        ending = posixpath.splitext(arg)[1].lower()
        if ending not in (*CODE_ENDINGS, *HEADER_ENDINGS, ".py") or arg in sent:
            continue
        if os.path.isfile(arg) or os.path.isfile(folder / arg):
            notice(printable(f"{arg} is an argument for the program; to send it: --with {arg}"))


def hint_at_missing(submission: Submission, compile_log: str) -> None:
    """Says which includes were not found, where the compiler misses one; the toolkit has others."""
    missing = submission.missing
    errors = "\n".join(MISSED.findall(compile_log)[:SHOWN_MISSING])
    if not any(wanted in errors for _, wanted in missing):
        return
    for place, wanted in missing[:SHOWN_MISSING]:
        notice(printable(f'{place}: "{wanted}" was not found on this machine, and not sent.'))
    if len(missing) > SHOWN_MISSING:
        notice(f"And {len(missing) - SHOWN_MISSING} more includes.")
