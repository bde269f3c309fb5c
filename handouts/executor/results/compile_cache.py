"""Programs that were compiled here before."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handouts.executor.results.archive import Found

CACHED_BYTES = 16 << 20  # a larger program is compiled each time


class CompileCache:
    """Small programs, by a key that stands for all that they were made from.

    An entry is made from all of a job's files by one toolchain, and only a compiler that succeeded
    makes one. Jobs get copies, so a program can change its own file and no other's.
    """

    def __init__(self, folder: Path, maximum: int) -> None:
        """Keeps `maximum` programs, which may be 0; drops the least recently used."""
        self._folder = folder
        self._maximum = maximum
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):  # of a run that was killed
            shutil.rmtree(str(draft), ignore_errors=True)

    def get(self, key: str, files: list[Path]) -> tuple[dict[str, Any], list[Found]] | None:
        """The report of the compile and what shows its program, and its files where `files` says;
        None if unknown."""
        entry = self._folder / key
        if not self._maximum:
            return None
        try:
            content = json.loads((entry / "report.json").read_bytes().decode())
            found = [
                Found(kind, size, name.encode(), at) for kind, size, name, at in content["asm"]
            ]
            for file in files[: 2 if found else 1]:
                shutil.copy(str(entry / file.name), str(file))
            os.utime(str(entry))
        except (OSError, ValueError, KeyError):  # another worker may just have dropped it
            return None
        return content["report"], found

    def put(
        self, key: str, files: list[Path], report: dict[str, Any], asm: Sequence[Found] = ()
    ) -> None:
        """Keeps a program, the first of the files, and the archive of what shows it, the second.

        A disk that is full costs no more than the next compile.
        """
        kept = files[: 2 if asm else 1]
        if not self._maximum or sum(file.stat().st_size for file in kept) > CACHED_BYTES:
            return
        draft = self._folder / (uuid.uuid4().hex + ".part")
        entries = [[one.kind, one.size, one.name.decode(), one.offset] for one in asm]
        try:
            draft.mkdir()
            for file in kept:
                shutil.copy(str(file), str(draft / file.name))
            content = {"report": report, "asm": entries}
            (draft / "report.json").write_bytes(json.dumps(content).encode())
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
