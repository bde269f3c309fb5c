"""The spool: results that are on disk until the queue has them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Spool:
    """A folder with a file for each result, written before it is sent, and its archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for archive in folder.glob("*.out"):  # of a run that was killed before its result was there
            if not archive.with_suffix(".json").exists():
                archive.unlink()

    def archive(self, attempt_id: int) -> Path:
        """The file that holds the output files of an attempt, one after another."""
        return self._folder / f"{attempt_id}.out"

    def put(self, attempt_id: int, report: dict[str, Any], files: list[dict[str, Any]]) -> Path:
        """Makes a result durable, with the `files` in its archive. Raises OSError: a full disk."""
        path = self._folder / f"{attempt_id}.json"
        draft = path.with_suffix(".part")
        content = {"attempt": attempt_id, "report": report, "files": files}
        try:
            self._keep_archive(attempt_id, bool(files))
            with draft.open("wb") as file:
                file.write(json.dumps(content).encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            if draft.exists():
                draft.unlink()
            raise
        self._sync_folder()
        return path

    def _keep_archive(self, attempt_id: int, is_needed: bool) -> None:
        if not is_needed:
            self.archive(attempt_id).unlink(missing_ok=True)
            return
        with self.archive(attempt_id).open("rb") as archive:
            os.fsync(archive.fileno())

    def _sync_folder(self) -> None:
        folder = os.open(str(self._folder), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def left_over(self) -> list[Path]:
        """The results that an earlier run of this executor could not send."""
        return sorted(self._folder.glob("*.json"))

    def read(self, path: Path) -> dict[str, Any] | None:
        """The result in a file; None if it is incomplete (and was never reported as done)."""
        try:
            content = json.loads(path.read_bytes().decode())
            return content if {"attempt", "report"} <= set(content) else None
        except (OSError, ValueError, TypeError):
            return None

    def file(self, attempt_id: int, file: dict[str, Any]) -> bytes:
        """The bytes of one of a result's files. Raises OSError."""
        with self.archive(attempt_id).open("rb") as archive:
            archive.seek(file["offset"])
            return archive.read(file["size"])

    def drop(self, attempt_id: int) -> None:
        """Forgets a result and its files, in an order that leaves no result without them."""
        archive = self.archive(attempt_id)
        archive.with_suffix(".json").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
