"""The submit.py that this queue hands out: its text, its version and its digest."""

import functools
import hashlib
import re
from typing import NamedTuple

from django.conf import settings

# In an answer to a submission: the version of the submit.py that can be had here.
VERSION_HEADER = "Telerun-Client-Version"


class Script(NamedTuple):
    """`version` is digits with dots between them; `sha256` is in hex."""

    text: bytes
    version: str
    sha256: str


@functools.cache
def client_script() -> Script:
    """Read once a process, so that text and digest belong together while it is replaced."""
    text = settings.TELERUN_CLIENT_SCRIPT.read_bytes()
    found = re.search(rb'^VERSION = "([\d.]+)"$', text, re.MULTILINE)
    return Script(text, found[1].decode() if found else "0", hashlib.sha256(text).hexdigest())
