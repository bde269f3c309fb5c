"""Whether programs may use a device file, and what they need for it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from handouts.client.errors import BadSetup

READ, WRITE = 4, 2


def wanted_of(node: str) -> int:
    """What programs do with it: files of capabilities (MIG) are only read."""
    return READ if Path(node).name.startswith("nvidia-cap") else READ | WRITE


def groups_for(nodes: Iterable[str], own: Collection[int]) -> list[int]:
    """The groups that a uid without any needs to use these device files. Raises BadSetup.

    `own`: the gids of the sandboxes themselves. Group 0 is never given to anybody.
    """
    files = {node: os.stat(node) for node in nodes}
    groups = set()
    for node, file in files.items():
        wanted = wanted_of(node)
        if file.st_mode & wanted == wanted:
            continue
        of_group = file.st_mode >> 3 & wanted == wanted
        if file.st_gid == 0 or file.st_gid in own or not of_group:
            raise BadSetup(why_not(node, file, wanted))
        groups.add(file.st_gid)
    for node, file in files.items():  # to a member of its group the others' bits do not apply
        wanted = wanted_of(node)
        if file.st_gid in groups and file.st_mode >> 3 & wanted != wanted:
            raise BadSetup(why_not(node, file, wanted))
    return sorted(groups)


def check_own_access(nodes: Iterable[str]) -> None:
    """Whether this user itself may use them, as its programs will. Raises BadSetup."""
    for node in nodes:
        wanted = wanted_of(node)
        if not os.access(node, os.R_OK if wanted == READ else os.R_OK | os.W_OK):
            raise BadSetup(why_not(node, os.stat(node), wanted))


def why_not(node: str, file: os.stat_result, wanted: int) -> str:
    """What is wrong with a device file, and the command that mends it."""
    owner = f"{user_name(file.st_uid)}:{group_name(file.st_gid)}"
    access = "read" if wanted == READ else "read and write"
    bits = "r" if wanted == READ else "rw"
    for_good = (
        "" if wanted == READ else " (for good: the nvidia module's NVreg_DeviceFileMode=0666)"
    )
    return (
        f"Programs may not {access} {node} ({stat.S_IMODE(file.st_mode):04o}, {owner}): "
        f"chmod a+{bits} {node}{for_good}, or give it a group that may, other than root's."
    )


def user_name(uid: int) -> str:
    """As ls shows it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """As ls shows it."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
