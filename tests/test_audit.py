"""The audit log: the file follows the table; nothing twice, nothing torn, in order."""

import json
import threading
from pathlib import Path

import pytest
from django.db import connection, transaction

from accounts.models import User
from jobs import audit, cancelling, submitting
from jobs.audit import Entry, file
from jobs.models import AuditCounter, AuditEntry
from jobs.submitting import Submission

pytestmark = pytest.mark.django_db(transaction=True)


def record(count: int = 1, text: str = "x") -> None:
    for _ in range(count):
        with transaction.atomic():
            audit.record(Entry("someone", "tested", 7, {"text": text}))


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_line_is_the_entry(audit_log: Path, alice: User) -> None:
    job, _ = submitting.submit(alice, Submission("int main(){}\n", "a.cu", ["1"]))
    line = json.loads(audit_log.read_text().splitlines()[-1])
    entry = AuditEntry.objects.get(job_id=job.pk)
    assert set(line) == {"id", "timestamp", "username", "action", "job_id", "request"}
    assert line["id"] == entry.id
    assert line["timestamp"].endswith("Z")
    assert (line["username"], line["action"], line["job_id"]) == ("alice", "submitted", job.pk)
    assert line["request"] == {"source": "int main(){}\n", "filename": "a.cu", "args": ["1"]}


def test_the_file_is_for_its_owner_alone(audit_log: Path) -> None:
    record()
    assert audit_log.stat().st_mode & 0o777 == 0o600


def test_what_is_rolled_back_leaves_no_line_and_no_gap(audit_log: Path) -> None:
    record()
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record(Entry("someone", "tested"))
        raise RuntimeError
    record()
    assert ids(audit_log) == [1, 2]


@pytest.mark.parametrize(
    "torn", [b"", b"{", b'{"id": 3, "timestamp": "2026', b"\0\0\0\0\0\n", b"[]\n"]
)
def test_missing_and_torn_lines_are_written_again(torn: bytes, audit_log: Path) -> None:
    record(5, text="y" * 100_000)
    lines = audit_log.read_bytes().splitlines(keepends=True)
    audit_log.write_bytes(b"".join(lines[:2]) + torn)
    assert file.follow() == 3
    assert audit_log.read_bytes() == b"".join(lines)
    assert file.follow() == 0


def test_a_line_that_lost_only_its_newline_is_not_doubled(audit_log: Path) -> None:
    record(3)
    whole = audit_log.read_bytes()
    audit_log.write_bytes(whole[:-1])
    file.follow()
    assert audit_log.read_bytes() == whole


def test_a_lost_file_is_written_whole(audit_log: Path) -> None:
    record(3)
    whole = audit_log.read_bytes()
    audit_log.unlink()
    assert file.follow() == 3
    assert audit_log.read_bytes() == whole


def test_a_file_that_cannot_be_written_costs_no_job(
    audit_log: Path, alice: User, settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TELERUN_AUDIT_LOG = Path("/dev/full")
    job, _ = submitting.submit(alice, Submission("x"))
    assert job.state == "queued"
    settings.TELERUN_AUDIT_LOG = audit_log.parent / "no such folder" / "audit_log.jsonl"
    cancelling.cancel(job.pk, "alice")
    assert "catch up later" in caplog.text
    settings.TELERUN_AUDIT_LOG = audit_log
    record()
    assert ids(audit_log) == [1, 2, 3]


def replace_the_table() -> None:
    AuditEntry.objects.all().delete()
    AuditCounter.objects.update(last_id=0)


@pytest.mark.parametrize("entries", [0, 1, 3])
def test_the_file_of_another_database_is_set_aside_when_a_server_starts(
    audit_log: Path, entries: int
) -> None:
    record(3)
    old = audit_log.read_bytes()
    replace_the_table()
    record(entries, text="of the other")
    assert audit_log.read_bytes() == old  # a command, perhaps with the wrong DATABASE_URL
    file.follow(set_aside=True)
    assert ids(audit_log) == list(range(1, entries + 1))
    record()
    assert ids(audit_log) == list(range(1, entries + 2))
    kept = [p for p in audit_log.parent.iterdir() if p.name.startswith("audit_log.jsonl.")]
    assert [p.read_bytes() for p in kept] == [old]


def test_many_writers_at_once_leave_every_line_once_and_in_order(audit_log: Path) -> None:
    def write() -> None:
        record(10)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(audit_log) == list(range(1, 81))
