"""The files of a job on their way into its sandbox.

They go as one descriptor, however many they are: records as in the archive of ./out/ (archive.py),
which the sandbox's first process unpacks before the command starts. Their names were checked
(file_names.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NO_FILES: Mapping[str, str] = {}


def pack(files: Mapping[str, str], bundle: Path) -> None:
    """Writes the file that `take_in` in init.c reads. Raises OSError."""
    with bundle.open("wb") as out:
        for name, text in files.items():
            encoded, content = name.encode("utf-8"), text.encode("utf-8")
            out.write(b"f %d %d\n" % (len(content), len(encoded)) + encoded + content)


def placed(folders: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The files of several folders as those of the folder above."""
    return {
        f"{folder}/{name}": text
        for folder, files in folders.items()
        for name, text in files.items()
    }


def lay_out(files: Mapping[str, str], folder: Path) -> None:
    """The same where there is no sandbox: writes the files into a folder. Raises OSError."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
