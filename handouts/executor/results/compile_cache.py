"""Programs that were compiled here before."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

CACHED_BYTES = 16 << 20  # a larger program is compiled each time


class CompileCache:
    """Small programs, by a key that stands for all that they were made from.

    An entry is made from one whole source by one toolchain, and only a compiler that succeeded
    makes one. Jobs get copies, so a program can change its own file and no other's.
    """

    def __init__(self, folder: Path, maximum: int) -> None:
        """Keeps `maximum` programs, which may be 0; drops the least recently used."""
        self._folder = folder
        self._maximum = maximum
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):  # of a run that was killed
            shutil.rmtree(str(draft), ignore_errors=True)

    def get(self, key: str, program: Path) -> dict[str, Any] | None:
        """The report of the compile that made it, and the program at `program`; None if unknown."""
        entry = self._folder / key
        if not self._maximum:
            return None
        try:
            report = json.loads((entry / "report.json").read_bytes().decode())
            shutil.copy(str(entry / "program"), str(program))
            os.utime(str(entry))
        except (OSError, ValueError):  # another worker may just have dropped it
            return None
        return report

    def put(self, key: str, program: Path, report: dict[str, Any]) -> None:
        """Keeps a program. A disk that is full costs no more than the next compile."""
        if not self._maximum or program.stat().st_size > CACHED_BYTES:
            return
        draft = self._folder / (uuid.uuid4().hex + ".part")
        try:
            draft.mkdir()
            shutil.copy(str(program), str(draft / "program"))
            (draft / "report.json").write_bytes(json.dumps(report).encode())
            draft.rename(self._folder / key)
        except OSError:  # full, or another worker was first
            shutil.rmtree(str(draft), ignore_errors=True)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        entries = [entry for entry in self._folder.iterdir() if not entry.name.endswith(".part")]
        for entry in sorted(entries, key=when_changed, reverse=True)[self._maximum :]:
            shutil.rmtree(str(entry), ignore_errors=True)


def when_changed(path: Path) -> float:
    """Its modification time; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
