"""S1: what an attempt printed that ends without a result is kept and shown, for every ending."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from jobs import cancelling, leases, staff
from jobs.models import Attempt, AuditEntry, Job
from tests.support.api import Api, problem
from tests.support.live_api import StubExecutor

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("own_watcher", "nothing_kept"),
]


def attempts(student: Api, job_id: int) -> list[dict[str, Any]]:
    return student.get(f"/jobs/{job_id}").json()["attempts"]


ENDINGS = ("released", "cancelled", "expired", "requeued", "failed")


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_streamed_stays(
    ending: str, student: Api, host: StubExecutor, job_id: int, ta: Any
) -> None:
    """S1, for every ending."""
    host.feed(b"a warning\n", "compile")
    host.feed(b"step 1\n\xff\0")
    if ending == "cancelled":
        student.post(f"/jobs/{job_id}/cancel")
    if ending == "failed":
        Job.objects.update(attempts_left=0)
    if ending == "requeued":
        staff.requeue(job_id, "ta")
    elif ending == "expired":
        leases.expire(timezone.now() + timedelta(days=1))
    else:
        assert host.release().status_code == 200
    (attempt,) = attempts(student, job_id)
    assert attempt["ending"] == {"failed": "released"}.get(ending, ending)
    assert attempt["compile_log"] == "a warning\n"
    assert attempt["execute_log"] == "step 1\n\udcff\0"
    page = ta.get(f"/admin/jobs/job/{job_id}/change/").content.decode()
    assert "step 1\n\\xff\\x00" in page
    assert "a warning" in page


def test_of_one_that_printed_nothing_nothing_is_said(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.release()
    (attempt,) = attempts(student, job_id)
    assert not {"compile_log", "execute_log"} & set(attempt)


def test_of_one_with_a_result_the_result_tells(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"streamed")
    host.api.finish(host.claimed, execute_log="the whole")
    job = student.get(f"/jobs/{job_id}").json()
    assert "execute_log" not in job["attempts"][0]
    assert job["result"]["execute_log"] == "the whole"
    staff.requeue(job_id, "ta")  # superseded: for staff alone, as ever
    assert "execute_log" not in attempts(student, job_id)[0]


def test_what_the_executor_gives_back_counts_more(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"compiled", "compile")
    host.feed(b"some of ")
    assert host.release(execute_log="some of it\udcff").status_code == 200
    (attempt,) = attempts(student, job_id)
    assert (attempt["compile_log"], attempt["execute_log"]) == ("compiled", "some of it\udcff")
    assert host.release(execute_log="again").status_code == 200  # changes nothing more
    assert attempts(student, job_id) == [attempt]


def test_the_logs_of_a_cancelled_attempt_may_come_late_and_once(
    student: Api, host: StubExecutor, job_id: int, audit_log: Any
) -> None:
    """Its lease ran out, or staff ended it, before its executor could say what was printed."""
    host.feed(b"some of ")
    cancelling.cancel(job_id, "alice")
    leases.expire(timezone.now() + timedelta(days=1))
    answer = student.get(f"/jobs/{job_id}")
    assert answer.json()["state"] == "cancelled"
    entries = AuditEntry.objects.count()
    assert problem(host.api.finish(host.claimed)) == (409, "lease-lost")
    assert host.release(execute_log="some of it").status_code == 200
    assert host.release(execute_log="something else").status_code == 200
    after = student.get(f"/jobs/{job_id}")
    assert after.json()["attempts"][0]["execute_log"] == "some of it"
    assert after.json()["state"] == "cancelled"
    assert after["ETag"] != answer["ETag"]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("why", ["expired", "another token", "too late"])
def test_late_logs_of_others_are_refused(
    why: str, student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"streamed")
    if why != "expired":
        cancelling.cancel(job_id, "alice")
    leases.expire(timezone.now() + timedelta(days=1))
    if why == "another token":
        host.attempt["lease_token"] = "x"
    if why == "too late":
        Attempt.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    assert host.release(execute_log="late").status_code == (200 if why == "too late" else 409)
    assert attempts(student, job_id)[0]["execute_log"] == "streamed"


def test_a_gap_is_noted_in_what_is_kept(student: Api, host: StubExecutor, job_id: int) -> None:
    host.feed(b"begin")
    host.feed(b"end", offset=100)
    host.release()
    kept = attempts(student, job_id)[0]["execute_log"]
    assert kept == "begin\n[... 95 bytes left out ...]\nend"


def test_what_is_kept_is_as_long_as_a_results_log(
    student: Api, host: StubExecutor, job_id: int, settings: Any
) -> None:
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    host.feed(b"a" * 900 + b"z" * 900)
    host.release()
    kept = attempts(student, job_id)[0]["execute_log"]
    assert kept == "a" * 750 + "\n[... 800 bytes left out ...]\n" + "z" * 250


def test_the_notes_of_what_is_kept_tell_how_much_is_missing_in_all(
    student: Api, host: StubExecutor, job_id: int, settings: Any
) -> None:
    """Also of a log that the queue did not get whole, or shortened itself."""
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    host.feed(b"a" * 900)
    host.feed(b"b" * 900, offset=1_000_000)
    host.feed(b"y" * 100, offset=2_000_000)
    host.feed(b"z" * 100, offset=2_000_200)
    host.release()
    kept = attempts(student, job_id)[0]["execute_log"]
    middle = "\n[... 1000100 bytes left out ...]\n"
    end = "b" * 50 + "\n[... 999100 bytes left out ...]\n" + "y" * 100
    assert kept == "a" * 750 + middle + end + "\n[... 100 bytes left out ...]\n" + "z" * 100


def test_an_answer_has_no_more_logs_than_two_results(
    student: Api, host: StubExecutor, job_id: int, settings: Any
) -> None:
    """However often a job is lost: of the latest attempts, as much as fits."""
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    for number in range(4):
        host.release(execute_log=f"{number}" * 900)
        staff.requeue(job_id, "ta")
        if number < 3:
            host = StubExecutor(host.api)
    shown = [attempt.get("execute_log", "")[:1] for attempt in attempts(student, job_id)]
    assert shown == ["", "", "2", "3"]


def test_both_logs_of_an_attempt_are_shown_however_long(
    student: Api, host: StubExecutor, job_id: int, settings: Any
) -> None:
    """A log that was shortened is longer than `log_bytes` by the note that says so."""
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    logs = {
        name: name[0] * 1000 + "\n[... 5 bytes left out ...]\n"
        for name in (
            "compile_log",
            "execute_log",
        )
    }
    host.release(**logs)
    (attempt,) = attempts(student, job_id)
    assert {name: attempt.get(name) for name in logs} == logs


def test_an_end_does_not_depend_on_live_output(
    student: Api, host: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("the disk is full")

    monkeypatch.setattr("jobs.transitions.partial_logs", away)
    assert host.release().status_code == 200
    assert attempts(student, job_id)[0]["ending"] == "released"
