"""bubblewrap's own program: where it is, and what it can."""

from __future__ import annotations

import os
import shutil
import subprocess

from handouts.client.errors import BadSetup

ISOLATION = [
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session"),
    *("--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
]


def find_bwrap() -> str:
    """The path of bubblewrap's program. Raises BadSetup."""
    found = shutil.which("bwrap")
    if not found:
        raise BadSetup(
            "bubblewrap is missing, and no program runs without it: apt install bubblewrap "
            "(--sandbox none would run programs as this user)."
        )
    return os.path.abspath(found)


def options_of(bwrap: str) -> bytes:
    """What it says of its own options."""
    return subprocess.run(
        [bwrap, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def isolation(supported: bytes) -> list[str]:
    """What keeps a command from everything outside, as far as this bubblewrap can."""
    return ISOLATION + (["--disable-userns"] if b"--disable-userns" in supported else [])
