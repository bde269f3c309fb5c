"""Names for output files on the student's machine.

The queue says what the files are called, and is not trusted with that: no name leads out of the
folder, and none is a device of Windows.
"""

from __future__ import annotations

import re

from handouts.submit.printable import CONTROL


def safe_name(name: str) -> str:
    """A name for a file in one folder, on any system."""
    name = CONTROL.sub("_", re.sub(r'[<>:"/\\|?*\t\n\ud800-\udfff]', "_", name))
    name = re.sub(r"[. ]+$", "_", name)
    device = r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?"
    return "_" + name if not name or re.fullmatch(device, name, re.IGNORECASE) else name


def free_name(name: str, taken: set[str]) -> str:
    """The name, or another one if it is taken; on some systems "a" and "A" are the same file.

    The files of a job always come in the same order, so each gets the same name every time.
    """
    stem, dot, ending = name.partition(".")
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{stem}-{number}{dot}{ending}"
    taken.add(free.lower())
    return free
