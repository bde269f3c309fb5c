"""The file for what a power cut may take: made anew if it is missing or broken, in nobody's way."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from foundation.database.sqlite.scratch import ScratchFile
from tests.support.processes import ROOT

pytestmark = pytest.mark.once
TABLES = ("CREATE TABLE notes (n INTEGER PRIMARY KEY, words TEXT)",)
ADD = "INSERT INTO notes (words) VALUES (%s) RETURNING n"
COUNT = "SELECT COUNT(*) FROM notes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.sqlite3"


@pytest.fixture
def file(path: Path) -> ScratchFile:
    return ScratchFile(path, TABLES)


def test_what_is_written_is_read_by_all(file: ScratchFile, path: Path) -> None:
    assert file.rows(ADD, "a") == [(1,)]
    assert ScratchFile(path, TABLES).rows("SELECT words FROM notes") == [("a",)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert file.rows("PRAGMA synchronous") == [(0,)]  # it waits for no disk


def replaced_by_garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def overwritten_in_the_middle(path: Path) -> None:
    with sqlite3.connect(path) as database:  # what is in the log goes into the file
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def without_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE notes")
    database.close()


def of_another_version(path: Path) -> None:
    path.unlink()
    ScratchFile(path, ("CREATE TABLE others (n INTEGER)",)).rows("SELECT * FROM others")


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, replaced_by_garbage, overwritten_in_the_middle, without_tables,
     of_another_version],
)  # fmt: skip
@pytest.mark.parametrize("is_open", [True, False])
def test_one_that_is_missing_or_broken_is_made_anew(path: Path, spoil: Any, is_open: bool) -> None:
    file = ScratchFile(path, TABLES)
    for number in range(2000):
        file.rows(ADD, f"{number}" * 10)
    spoil(path)
    if not is_open:
        file = ScratchFile(path, TABLES)
    ScratchFile(path, TABLES).rows(COUNT)  # one that was open may have all it needs in memory
    file.rows(ADD, "after")
    assert ("after",) in ScratchFile(path, TABLES).rows("SELECT words FROM notes")
    assert ScratchFile(path, TABLES).rows("PRAGMA integrity_check") == [("ok",)]


def test_one_that_fails_once_is_kept(
    file: ScratchFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another process closes the log at the moment it is opened."""
    file.rows(ADD, "a")
    inode, real, failed = path.stat().st_ino, ScratchFile._once, []

    def fails_once(self: ScratchFile, *args: Any) -> Any:
        if not failed:
            failed.append(True)
            raise sqlite3.OperationalError("disk I/O error")
        return real(self, *args)

    monkeypatch.setattr(ScratchFile, "_once", fails_once)
    assert file.rows(COUNT) == [(1,)]
    assert path.stat().st_ino == inode


def test_where_it_cannot_be_made_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="nowhere"):
        ScratchFile(tmp_path / "nowhere" / "live.sqlite3", TABLES).rows(COUNT)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OperationalError, match="folder"):
        ScratchFile(tmp_path / "folder", TABLES).rows(COUNT)


def test_a_mistake_in_a_statement_is_no_broken_file(file: ScratchFile) -> None:
    file.rows(ADD, "a")
    with pytest.raises(OperationalError, match="syntax"):
        file.rows("SELECT FROM FROM")
    assert file.rows(COUNT) == [(1,)]


def test_threads_write_at_once(file: ScratchFile) -> None:
    def write() -> None:
        for _ in range(300):
            file.rows(ADD, "x")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.rows(COUNT) == [(1200,)]


WRITER = f"""
import sys
from pathlib import Path
from foundation.database.sqlite.scratch import ScratchFile
file = ScratchFile(Path(sys.argv[1]), {TABLES!r})
for number in range(int(sys.argv[2])):
    print(file.rows({ADD!r}, "x" * 500)[0][0], flush=True)
"""


def writer(path: Path, count: int) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", WRITER, path, str(count)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)


@pytest.mark.processes
def test_processes_write_at_once(file: ScratchFile, path: Path) -> None:
    """Beyond a checkpoint of SQLite's log; each sees what the others have written."""
    before = file.rows(COUNT)
    version = file.version()
    writers = [writer(path, 3000) for _ in range(2)]
    for process in writers:
        assert len(process.communicate(timeout=60)[0].split()) == 3000
        assert process.returncode == 0
    assert (before, file.rows(COUNT)) == ([(0,)], [(6000,)])
    assert file.version() != version
    version = file.version()
    file.rows(ADD, "of this thread, which knows")
    assert file.version() == version


@pytest.mark.processes
def test_who_is_killed_while_it_writes_stops_nobody(file: ScratchFile, path: Path) -> None:
    for _ in range(5):
        process = writer(path, 10**6)
        for _ in range(50):
            process.stdout.readline()
        process.kill()
        told = [int(line) for line in process.stdout.read().splitlines() if line]
        process.wait()
        process.stdout.close()
        assert file.rows(ADD, "after")[0][0] > max(told, default=0)
    assert file.rows("PRAGMA integrity_check") == [("ok",)]


def test_news_are_told_once_and_old_ones_forgotten(file: ScratchFile, path: Path) -> None:
    listener = ScratchFile(path, TABLES)
    last = listener.told_until_now()
    file.tell([7, 8])
    file.tell([9])
    assert [topics for _, topics in listener.told_since(last)] == ["7 8", "9"]
    last = listener.told_until_now()
    for _ in range(2500):
        file.tell([1])
    assert len(listener.told_since(last)) <= 2500
    assert file.rows("SELECT COUNT(*) < 2100 FROM news") == [(1,)]


def test_one_that_is_locked_as_it_is_opened_is_waited_for(path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.3, holder.rollback).start()
    assert ScratchFile(path, TABLES).rows(ADD, "a") == [(1,)]
    holder.close()
