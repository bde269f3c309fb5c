"""The Python that runs jobs written in it: the operator's choice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import NamedTuple

from handouts.client.errors import BadSetup

ASK = (
    "import json, sys; print(json.dumps([sys.executable, '%d.%d.%d' % sys.version_info[:3], "
    "sys.prefix, sys.base_prefix]))"
)


class Interpreter(NamedTuple):
    """Where it is, and what must be shown in the sandbox for it."""

    path: str
    version: str
    folders: list[str]


def find_interpreter(given: str | None) -> Interpreter | None:
    """None if the operator chose none. Raises BadSetup for what does not run."""
    if given is None:
        return None
    found = shutil.which(given)
    if not found:
        raise BadSetup(f"--python {given} is no program.")
    try:
        done = subprocess.run(
            [os.path.abspath(found), "-I", "-c", ASK],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        path, version, *prefixes = json.loads(done.stdout.decode("utf-8", "replace"))
    except (OSError, subprocess.SubprocessError, ValueError):
        raise BadSetup(f"--python {given} does not run as Python does.") from None
    # A virtual environment's is a link into the one that it was made from.
    folders = {os.path.abspath(prefix) for prefix in prefixes}
    folders.update([os.path.realpath(prefix) for prefix in prefixes])
    if "/" in folders:
        raise BadSetup(f"--python {given} stands in /, all of which would be shown to programs.")
    return Interpreter(path, version, sorted(folders))
