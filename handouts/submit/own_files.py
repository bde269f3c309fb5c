"""Which files in a folder this program has written there, so that the next run may replace them.

A file named .telerun in it says so, with a digest of each: one that was changed since is no longer
this program's.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

RECORD = ".telerun"
ABOUT = "Files that submit.py --out saved here, with their SHA-256. It replaces no others."


class OwnFiles:
    """Those of a folder that --out names."""

    def __init__(self, folder: Path, force: bool) -> None:
        self._record = folder / RECORD
        self.force = force  # any file may be replaced
        self._digests = self._read()
        self._saved: set[str] = set()  # in this run

    def may_replace(self, path: Path) -> bool:
        """Whether the file is as it was saved by an earlier run. Raises OSError."""
        if self.force:
            return not path.is_dir()
        known = self._digests.get(path.name)
        if not isinstance(known, str) or not stat.S_ISREG(path.lstat().st_mode):
            return False
        return known == digest(path.read_bytes())

    def note(self, path: Path, content: bytes) -> None:
        """This run has saved it. Raises OSError."""
        self._saved.add(path.name)
        if self._digests.get(path.name) == digest(content):
            return
        self._digests[path.name] = digest(content)
        if self._is_usable:
            text = json.dumps({"about": ABOUT, "files": self._digests}, indent=1)
            replace(self._record, text.encode())

    def left_over(self) -> list[str]:
        """What earlier runs have saved, and this one has not."""
        names = sorted(set(self._digests) - self._saved)
        return [name for name in names if (self._record.parent / name).is_file()]

    def _read(self) -> dict[str, Any]:
        """The digests by name; a record that is none is left as it is, and nothing replaced."""
        self._is_usable = True
        try:
            files = json.loads(self._record.read_bytes().decode())["files"]
            return {str(name): files[name] for name in files if name == os.path.basename(name)}
        except FileNotFoundError:
            return {}
        except (KeyError, OSError, RecursionError, TypeError, ValueError):
            self._is_usable = False
            return {}


def trouble_with_folder(folder: Path) -> str:
    """Why no file can be made there, "" if one can. Tries it, and leaves nothing behind."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]  # the deepest first
    probe = folder / f"{RECORD}-{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.open("xb").close()
    except OSError as error:
        return error.strerror or str(error)
    finally:
        for path in (probe, *new):
            try:  # noqa: SIM105  (importing contextlib takes a millisecond)
                path.rmdir() if path.is_dir() else path.unlink()
            except OSError:  # it was not made
                pass
    return ""


def replace(path: Path, content: bytes) -> None:
    """Makes the file, in place of another one; at no moment it is half there. Raises OSError."""
    part = path.with_name(f"{RECORD}-{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        if part.exists():
            part.unlink()
        raise


def digest(content: bytes) -> str:
    import hashlib  # only here, since it takes time to import

    return hashlib.sha256(content).hexdigest()
