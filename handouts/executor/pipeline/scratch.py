"""The executor's folder for jobs in hand and results not yet sent."""

from __future__ import annotations

import fcntl
import re
import shutil
from pathlib import Path
from typing import Any

from handouts.client.auth import HERE
from handouts.client.errors import BadSetup
from handouts.executor.machine.memory import host_is_short


def take_scratch(parent: Path | None, executor: str) -> tuple[Path, Any]:
    """A folder for this executor alone, and its lock. Raises BadSetup if another has it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", executor)
    folder = (parent or HERE / "executor-scratch").resolve() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadSetup(
            f"An executor {executor!r} runs on this machine already, in {folder}."
        ) from None
    except OSError as error:
        raise BadSetup(f"The scratch folder {folder} cannot be used: {error.strerror}.") from None
    return folder, lock


def why_no_room(scratch: Path, min_free_mib: int) -> str:
    """Why no job may be claimed now: the host is short of disk or memory; "" if it is not."""
    try:
        free = shutil.disk_usage(str(scratch)).free
    except OSError as error:
        return f"The scratch folder cannot be used: {error.strerror}; claiming no jobs."
    if free < min_free_mib << 20:
        return (
            f"Only {free >> 20} MiB are free for {scratch}; claiming no jobs until there are "
            f"{min_free_mib}."
        )
    if host_is_short():
        return "The host is short of memory; claiming no jobs until it is not."
    return ""
