"""What native threads have open goes with them: a server's come and go for a year."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.database.sqlite import base
from foundation.database.sqlite.scratch import ScratchFile

pytestmark = pytest.mark.once


def open_files(folder: Path) -> int:
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder))
    return found


def in_threads(act: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()


def test_a_turn_to_write_leaves_nothing_open(tmp_path: Path) -> None:
    in_threads(lambda: base._take_turn(tmp_path / "db.sqlite3", 1).give(), 5)
    assert open_files(tmp_path) == 0


def test_a_scratch_file_leaves_nothing_open(tmp_path: Path) -> None:
    file = ScratchFile(tmp_path / "live.sqlite3", ("CREATE TABLE notes (words TEXT)",))
    in_threads(lambda: file.rows("INSERT INTO notes VALUES (%s)", "a"), 5)
    assert file.rows("SELECT COUNT(*) FROM notes") == [(5,)]
    in_threads(lambda: file.rows("INSERT INTO notes VALUES (%s)", "a"), 5)
    assert open_files(tmp_path) <= 5  # this thread's own
