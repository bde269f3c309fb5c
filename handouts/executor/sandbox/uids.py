"""A uid of its own for each slot, where the executor is started by root."""

from __future__ import annotations

import fcntl
import pwd
from pathlib import Path
from typing import Any

from handouts.client.errors import BadSetup

SANDBOX_UID_BASE = 60600  # to 61183: neither Debian, systemd nor useradd gives these out
SANDBOX_UIDS = 584


class Uids:
    """A range of uids. Each belongs to one slot on this machine, which holds its lock in /run."""

    def __init__(self, base: int) -> None:
        self._range = range(base, base + SANDBOX_UIDS)
        self._folder = Path("/run/telerun-sandbox")
        self._folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def gids(self) -> range:
        """Each uid has the group of its number."""
        return self._range

    def take(self) -> tuple[Any, int]:
        """A uid that is free, as the open file of its lock and its number. Raises BadSetup."""
        for uid in self._range:
            if not is_account(uid):
                lock = (self._folder / str(uid)).open("w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return lock, uid
                except BlockingIOError:
                    lock.close()
        raise BadSetup(
            f"No uid from {self._range[0]} to {self._range[-1]} is free for a sandbox; "
            "say --sandbox-uid-base."
        )


def is_account(uid: int) -> bool:
    """Whether the system has a user of that uid."""
    try:
        pwd.getpwuid(uid)
        return True
    except KeyError:
        return False
