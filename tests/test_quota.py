"""What is kept of a user: counted exactly, and no more than the quota. The oldest goes first."""

from typing import Any

import pytest

from accounts import operations
from accounts.models import Executor, User
from jobs import cancelling, claiming, invariants, leases, quota, reporting, retention
from jobs.kept import counting
from jobs.models import Attempt, AuditEntry, Job, Kept, OutputFile
from jobs.staff import requeue
from jobs.states import Phase
from tests.support.admin import JOBS, USERS, page, submit
from tests.support.api import SOURCE, Api, problem
from tests.support.pages import log_in

pytestmark = pytest.mark.django_db
KB = 1024


@pytest.fixture(autouse=True)
def small(settings: Any) -> Any:
    """100 KiB of a user, several jobs at once."""
    settings.TELERUN_USER_QUOTA_BYTES = 100 * KB
    settings.TELERUN_MAX_QUEUED_PER_USER = 50
    settings.TELERUN_SUBMITS_PER_MINUTE = 0
    counting.noticed.clear()
    return settings


def ran(student: Api, host: Api, *sizes: int, logs: int = 0, source: str = SOURCE) -> int:
    """A job with files of these sizes and a log, from submission to result; its id."""
    student.submit(source)
    return finished(host, *sizes, logs=logs)


def finished(host: Api, *sizes: int, logs: int = 0) -> int:
    claimed = host.claim()
    names = [f"f{place}" for place in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        assert host.send_file(claimed, name, b"x" * size).status_code == 200
    listed = [{"name": name, "size": 1} for name in names]
    assert host.finish(claimed, files=listed, execute_log="y" * logs).status_code == 200
    return claimed["job"]["id"]


def removed(student: Api, job_id: int) -> list[bool]:
    files = student.get(f"/jobs/{job_id}").json()["result"]["files"]
    return ["removed" in file for file in files]


def counted(user: User) -> tuple[int, int, int]:
    kept = Kept.objects.get(user=user)
    return kept.sources, kept.logs, kept.files


# --- The oldest goes, and it is said ------------------------------------------------------


def test_the_oldest_files_go_and_the_newest_stay(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    jobs = [ran(as_alice, as_gpu1, 30 * KB) for _ in range(5)]
    assert [removed(as_alice, job) for job in jobs] == [[True], [True], [False], [False], [False]]
    assert sum(counted(alice)) <= 100 * KB
    assert invariants.violations() == []


def test_it_is_said_to_the_student(as_alice: Api, as_gpu1: Api) -> None:
    first = ran(as_alice, as_gpu1, 60 * KB)
    etag = as_alice.get(f"/jobs/{first}")["ETag"]
    assert as_alice.get(f"/jobs/{first}/files/f0").status_code == 200
    ran(as_alice, as_gpu1, 60 * KB)
    answer = as_alice.get(f"/jobs/{first}")
    files = answer.json()["result"]["files"]
    assert files == [{"name": "f0", "size": 60 * KB, "removed": "quota"}]
    assert answer["ETag"] != etag
    gone = as_alice.get(f"/jobs/{first}/files/f0")
    assert problem(gone) == (410, "file-removed")
    assert "100 KiB" in gone.json()["detail"]
    assert problem(as_alice.get(f"/jobs/{first}/files/f1")) == (404, "not-found")


def test_it_is_said_on_the_student_s_page(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    first, last = (ran(as_alice, as_gpu1, 60 * KB) for _ in range(2))
    browser = log_in(alice)
    text = page(browser, f"/jobs/{first}")
    assert "removed to make room for newer ones of yours" in text
    assert f'href="/jobs/{first}/files/f0"' not in text
    gone = browser.get(f"/jobs/{first}/files/f0")
    assert (gone.status_code, "the oldest go first" in gone.content.decode()) == (410, True)
    assert f'href="/jobs/{last}/files/f0"' in page(browser, f"/jobs/{last}")


def test_a_student_is_told_before_it_is_full(as_gpu1: Api, alice: User) -> None:
    browser = log_in(alice)
    submit(alice)
    finished(as_gpu1, 70 * KB)
    assert "that the queue keeps of you" not in page(browser, "/")
    submit(alice)
    finished(as_gpu1, 15 * KB)
    assert "Of the 100 KiB that the queue keeps of you, 85 KiB are used." in page(browser, "/")
    assert "85 KiB are used." in page(browser, "/jobs")


def test_it_is_said_to_staff(as_alice: Api, as_gpu1: Api, ta: Any, alice: User) -> None:
    first = ran(as_alice, as_gpu1, 60 * KB)
    ran(as_alice, as_gpu1, 60 * KB)
    assert "f0 (60 KiB, removed, because the queue keeps 100 KiB" in page(
        ta, f"{JOBS}{first}/change/"
    )
    entry = AuditEntry.objects.get(action="files-removed")
    assert (entry.username, entry.job_id) == ("system", first)
    assert entry.request == {"attempt": 1, "files": ["f0"], "bytes": 60 * KB, "reason": "quota"}
    assert "60 KiB" in page(ta, USERS)
    assert "60 KiB" in page(ta, f"{USERS}{alice.pk}/change/")
    front = page(ta, "/admin/")
    assert f'<a href="{USERS}{alice.pk}/change/"><bdi>alice</bdi></a> 60 KiB' in front


def test_files_of_one_job_go_one_by_one(as_alice: Api, as_gpu1: Api) -> None:
    first = ran(as_alice, as_gpu1, 0, 20 * KB, 20 * KB, 20 * KB)
    ran(as_alice, as_gpu1, 50 * KB)
    assert removed(as_alice, first) == [False, True, False, False]


def test_logs_go_when_no_file_is_left_to_go(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    jobs = [ran(as_alice, as_gpu1, 5 * KB, logs=30 * KB) for _ in range(4)]
    logs = [as_alice.get(f"/jobs/{job}").json()["result"]["execute_log"] for job in jobs]
    assert logs[0] == f"[This log was {quota.why()}.]\n"
    assert [log[:1] for log in logs[1:]] == ["y", "y", "y"]
    assert [removed(as_alice, job) for job in jobs] == [[True], [True], [True], [False]]
    assert AuditEntry.objects.get(action="logs-removed").job_id == jobs[0]
    assert invariants.violations() == []


def test_the_newest_result_stays_though_it_is_larger_than_the_quota(
    as_alice: Api, as_gpu1: Api
) -> None:
    first = ran(as_alice, as_gpu1, 150 * KB)
    assert removed(as_alice, first) == [False]
    second = ran(as_alice, as_gpu1, 150 * KB)
    assert (removed(as_alice, first), removed(as_alice, second)) == ([True], [False])


def test_what_runs_keeps_its_files(as_alice: Api, as_gpu1: Api, as_gpu2: Api) -> None:
    as_alice.submit()
    slow = as_gpu1.claim()
    as_gpu1.send_file(slow, "slow", b"x" * 40 * KB)
    ran(as_alice, as_gpu2, 40 * KB)
    ran(as_alice, as_gpu2, 40 * KB)
    files = [{"name": "slow", "size": 1}]
    assert as_gpu1.finish(slow, files=files).status_code == 200
    assert removed(as_alice, slow["job"]["id"]) == [False]


def test_others_are_left_alone(as_alice: Api, as_bob: Api, as_gpu1: Api) -> None:
    theirs = ran(as_bob, as_gpu1, 90 * KB, logs=5 * KB)
    for _ in range(4):
        ran(as_alice, as_gpu1, 60 * KB, logs=5 * KB)
    assert removed(as_bob, theirs) == [False]


def test_without_a_quota_everything_stays(as_alice: Api, as_gpu1: Api, small: Any) -> None:
    small.TELERUN_USER_QUOTA_BYTES = 0
    jobs = [ran(as_alice, as_gpu1, 90 * KB) for _ in range(4)]
    quota.look_after()
    assert not any(any(removed(as_alice, job)) for job in jobs)


def test_the_sweep_goes_on_where_a_request_stopped(
    as_alice: Api, as_gpu1: Api, alice: User, small: Any
) -> None:
    small.TELERUN_USER_QUOTA_BYTES = 0
    for _ in range(30):
        ran(as_alice, as_gpu1, 30 * KB)
    small.TELERUN_USER_QUOTA_BYTES = 100 * KB  # the operator lowers it
    quota.look_after()
    assert sum(counted(alice)) <= 100 * KB
    assert OutputFile.objects.count() == 3
    assert invariants.violations() == []


def test_a_job_that_is_run_again_lists_its_new_files(
    as_alice: Api, as_gpu1: Api, alice: User
) -> None:
    first = ran(as_alice, as_gpu1, 60 * KB)
    ran(as_alice, as_gpu1, 60 * KB)
    assert removed(as_alice, first) == [True]
    requeue(first, "ta")
    finished(as_gpu1, 60 * KB)
    assert removed(as_alice, first) == [False]
    assert invariants.violations() == []


# --- Sources ------------------------------------------------------------------------------


def test_sources_alone_are_refused_with_what_to_do(as_alice: Api, as_gpu1: Api) -> None:
    big = "/" + "/" * 40 * KB + "\n"
    for _ in range(2):
        ran(as_alice, as_gpu1, source=big)
    answer = as_alice.post("/jobs", {"source": big})
    assert problem(answer) == (413, "quota-exceeded")
    assert "Ask course staff" in answer.json()["detail"]
    assert Job.objects.count() == 2
    as_alice.submit()  # a small one has room
    assert invariants.violations() == []


def test_files_and_logs_make_way_for_sources(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    job = ran(as_alice, as_gpu1, 60 * KB, logs=20 * KB)
    as_alice.submit("/" * 90 * KB)
    assert removed(as_alice, job) == [True]
    assert sum(counted(alice)) <= 100 * KB or counted(alice)[1] > 0


def test_replaced_jobs_count(as_alice: Api, alice: User) -> None:
    for _ in range(3):
        answer = as_alice.post("/jobs?override_pending=1", {"source": "/" * 30 * KB})
        assert answer.status_code == 201
    answer = as_alice.post("/jobs?override_pending=1", {"source": "/" * 30 * KB})
    assert problem(answer) == (413, "quota-exceeded")
    assert Job.objects.filter(state="queued").count() == 1, "the one before is as it was"


def test_what_is_sent_again_counts_once(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    for _ in range(3):
        body = {"source": "/" * 40 * KB}
        assert as_alice.post("/jobs", body, Idempotency_Key="k").status_code == 201
    claimed = as_gpu1.claim()
    for size in (20 * KB, 20 * KB, 10 * KB):
        as_gpu1.send_file(claimed, "a", b"x" * size)
    for _ in range(3):
        files = [{"name": "a", "size": 1}]
        assert as_gpu1.finish(claimed, files=files, compile_log="z" * KB).status_code == 200
    as_gpu1.send_file(claimed, "a", b"x" * 10 * KB)
    assert counted(alice) == (40 * KB, KB, 10 * KB)


def test_every_kind_of_text_counts(as_alice: Api, alice: User) -> None:
    texts = {"source": "é\n", "args": ["ä", "\U0001f600"], "sources": {"b.cu": "ü" * 100}}
    as_alice.submit(**texts, includes={"c.cuh": '\t"\\', "d.cuh": ""}, filename="a.cu")
    assert counted(alice) == (3 + 2 + 4 + 200 + 3, 0, 0)
    assert invariants.violations() == []


# --- The counter says what there is -------------------------------------------------------


def test_every_end_of_an_attempt_is_counted(
    as_alice: Api, as_gpu1: Api, alice: User, gpu1: Executor
) -> None:
    def claimed() -> Attempt:
        as_alice.submit()
        attempt = claiming.claim(gpu1)
        reporting.keep_file(gpu1, attempt.pk, attempt.lease_token, "a", b"x" * KB)
        return attempt

    attempt = claimed()
    logs = {"compile_log": b"c" * 10, "execute_log": b"e" * 20}
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "the disk is full", logs)
    assert counted(alice)[1:] == (30, 0)
    attempt = claiming.claim(gpu1)
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, Phase.EXECUTING)
    cancelling.cancel(attempt.job_id, "alice")
    leases.expire(attempt.lease_expires_at + leases.length() * 9)
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "too late", logs)
    assert counted(alice)[1:] == (60, 0)
    requeue(claimed().job_id, "ta")
    assert counted(alice)[1:] == (60, 0)
    assert invariants.violations() == []


def test_what_is_deleted_counts_no_longer(
    as_alice: Api, as_bob: Api, as_gpu1: Api, alice: User, bob: User
) -> None:
    for student in (as_alice, as_bob, as_alice):
        ran(student, as_gpu1, 5 * KB, logs=KB)
    as_alice.submit()
    Job.objects.filter(user=alice, state="finished").update(finished_at="2020-01-01T00:00Z")
    assert retention.prune(leases.timezone.now() - leases.length(), "ta") == 2
    assert counted(alice) == (len(SOURCE), 0, 0)
    assert counted(bob) == (len(SOURCE), KB, 5 * KB)
    assert invariants.violations() == []
    operations.delete(bob, "ta")
    assert not Kept.objects.filter(pk=bob.pk).exists()
    retention.reset_submissions("ta")
    assert counted(alice) == (0, 0, 0)
    assert invariants.violations() == []


@pytest.mark.parametrize("kind", ["sources", "logs", "files"])
def test_a_wrong_counter_is_found_and_mended(as_alice: Api, as_gpu1: Api, kind: str) -> None:
    ran(as_alice, as_gpu1, KB, logs=KB)
    Kept.objects.update(**{kind: 7})
    (fault,) = invariants.violations()
    assert f"bytes of {kind} are kept of user alice, but 7 are counted." in fault
    Kept.objects.all().delete()
    assert any("nothing is counted" in fault for fault in invariants.violations())
    assert retention.recount() == 1
    assert invariants.violations() == []
    assert retention.recount() == 0


def test_a_removed_file_that_is_not_said_to_be_is_found(as_alice: Api, as_gpu1: Api) -> None:
    ran(as_alice, as_gpu1, KB)
    OutputFile.objects.all().delete()
    assert any("which is not kept" in fault for fault in invariants.violations())


# --- Room ---------------------------------------------------------------------------------


def test_the_front_page_says_how_much_room_there_is(ta: Any, monkeypatch: Any) -> None:
    import shutil

    for total, free, is_scarce in (
        (1 << 40, 200 << 30, False),
        (1 << 40, 90 << 30, True),  # less than a tenth
        (20 << 30, 4 << 30, True),  # less than 5 GiB
        (20 << 30, 6 << 30, False),
    ):
        usage = shutil._ntuple_diskusage(total, total - free, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, usage=usage: usage)
        front = page(ta, "/admin/")
        assert (f'<span class="wrong">{free >> 30} GiB free' in front) is is_scarce
        assert f"{free >> 30} GiB free" in front
    assert "Database" in front


def test_the_five_largest_users_are_shown(ta: Any, small: Any) -> None:
    for number in range(7):
        user = User.objects.create(username=f"u{number}")
        Kept.objects.create(user=user, files=number * 10 * KB)
    front = page(ta, "/admin/")
    assert [f">u{n}</bdi></a>" in front for n in range(7)] == [False, False, *[True] * 5]
    assert front.index(">u6</bdi>") < front.index(">u2</bdi>")


def test_users_are_sorted_by_what_is_kept_of_them(ta: Any, alice: User, bob: User) -> None:
    Kept.objects.create(user=bob, logs=5)
    Kept.objects.create(user=alice, logs=3, sources=3)
    place = next(
        n for n, name in enumerate(ta.get(USERS).context["cl"].list_display) if name == "kept"
    )
    rows = ta.get(USERS, {"o": f"-{place}"}).context["cl"].result_list
    assert [user.username for user in rows][:2] == ["alice", "bob"]
