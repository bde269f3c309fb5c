"""Output files at the queue: kept for an attempt, shown with its result, to owner and staff."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import Executor, User
from foundation import parsers
from jobs import invariants, leases, outputs, retention
from jobs.models import Attempt, AuditEntry, Job, OutputFile, OutputPart
from jobs.staff import requeue
from tests.support.admin import browser, page
from tests.support.api import Api, problem

pytestmark = pytest.mark.django_db
EVERY_BYTE = bytes(range(256)) * 5000  # more than one part of an answer


@pytest.fixture(autouse=True)
def limits(settings: Any) -> Any:
    settings.TELERUN_LIMITS = {
        **settings.TELERUN_LIMITS,
        "output_files": 3,
        "output_file_bytes": 2 << 20,
    }
    return settings.TELERUN_LIMITS


@pytest.fixture
def claimed(as_alice: Api, as_gpu1: Api) -> dict[str, Any]:
    as_alice.submit()
    return as_gpu1.claim()


def listed(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "size": 1} for name in names]


def fetch(api: Api, job_id: int, name: str) -> Any:
    return api.get(f"/jobs/{job_id}/files/{quote(name, safe='')}")


def finished(api: Api, claimed: dict[str, Any], **contents: bytes) -> int:
    """Sends files, and a result that lists them; the job's id."""
    for name, content in contents.items():
        assert api.send_file(claimed, name, content).status_code == 200
    assert api.finish(claimed, files=listed(*contents)).status_code == 200
    return claimed["job"]["id"]


# --- From the executor to the owner ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("image.ppm", EVERY_BYTE),
        ("empty", b""),
        ("größe 100%?#&.txt", b"\0"),
        ("a" * 255, b"x" * outputs.PART_BYTES),
        ("..hidden", b"x" * (outputs.PART_BYTES + 1)),
    ],
)
def test_a_file_comes_back_byte_for_byte(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any], name: str, content: bytes
) -> None:
    job_id = claimed["job"]["id"]
    answer = as_gpu1.send_file(claimed, name, content)
    assert (answer.status_code, answer.json()) == (200, {"name": name, "size": len(content)})
    as_gpu1.finish(claimed, files=[{"name": name, "size": len(content)}])
    result = as_alice.get(f"/jobs/{job_id}").json()["result"]
    assert result["files"] == [{"name": name, "size": len(content)}]
    assert "files" not in result["details"]
    answer = fetch(as_alice, job_id, name)
    assert answer.getvalue() == content
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Length"] == str(len(content))
    assert answer["Content-Disposition"].startswith("attachment; filename")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_result_without_files_says_so(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    as_gpu1.finish(claimed)
    assert as_alice.get(f"/jobs/{claimed['job']['id']}").json()["result"]["files"] == []


def test_nobody_else_gets_it(
    as_bob: Api, as_gpu1: Api, as_gpu2: Api, nobody: Api, claimed: dict[str, Any]
) -> None:
    job_id = finished(as_gpu1, claimed, secret=b"secret")
    assert problem(fetch(as_bob, job_id, "secret")) == (404, "not-found")
    assert problem(fetch(nobody, job_id, "secret")) == (401, "not-authenticated")
    assert problem(fetch(as_gpu1, job_id, "secret")) == (403, "wrong-token-kind")
    assert problem(fetch(as_gpu2, job_id, "secret")) == (403, "wrong-token-kind")


def test_what_is_not_there_is_not_found(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    job_id = finished(as_gpu1, claimed, a=b"a")
    for name in ("b", "A", "..", "a/", "../a", "%00", "\0"):
        assert fetch(as_alice, job_id, name).status_code == 404, name
    assert fetch(as_alice, job_id + 1, "a").status_code == 404


def test_before_the_result_nothing_is_shown(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    as_gpu1.send_file(claimed, "early", b"x")
    assert fetch(as_alice, claimed["job"]["id"], "early").status_code == 404


def test_looking_at_a_job_never_reads_a_file(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    job_id = finished(as_gpu1, claimed, a=b"a", b=b"b")
    with django_assert_max_num_queries(20) as queries:
        as_alice.get(f"/jobs/{job_id}")
        as_alice.get("/jobs")
    assert not [q for q in queries.captured_queries if "outputfile" in q["sql"]]


# --- Sent again, and sent too late -------------------------------------------------------


def test_sent_again_it_is_the_same_until_the_result_and_after(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    for content in (b"one", b"two", b"two"):
        assert as_gpu1.send_file(claimed, "a", content).status_code == 200
    assert OutputFile.objects.count() == 1
    assert as_gpu1.finish(claimed, files=listed("a")).status_code == 200
    assert as_gpu1.send_file(claimed, "a", b"two").status_code == 200  # its answer was lost
    assert as_gpu1.finish(claimed, files=listed("a")).status_code == 200
    assert problem(as_gpu1.send_file(claimed, "a", b"three")) == (409, "lease-lost")
    assert problem(as_gpu1.send_file(claimed, "b", b"two")) == (409, "lease-lost")
    assert fetch(as_alice, claimed["job"]["id"], "a").getvalue() == b"two"


def test_only_the_attempt_with_the_result_is_shown(
    as_alice: Api, as_gpu1: Api, as_gpu2: Api, claimed: dict[str, Any]
) -> None:
    as_gpu1.send_file(claimed, "a", b"of the first")
    leases.expire(timezone.now() + timedelta(hours=1))
    assert not OutputFile.objects.exists()
    assert problem(as_gpu1.send_file(claimed, "a", b"of the first")) == (409, "lease-lost")
    second = as_gpu2.claim()
    job_id = finished(as_gpu2, second, a=b"of the second")
    assert problem(as_gpu1.send_file(claimed, "a", b"of the first")) == (409, "lease-lost")
    assert fetch(as_alice, job_id, "a").getvalue() == b"of the second"
    assert invariants.violations() == []


@pytest.mark.parametrize("how", ["release", "requeue", "cancel and release"])
def test_what_ends_an_attempt_without_a_result_throws_its_files_away(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any], how: str
) -> None:
    as_gpu1.send_file(claimed, "a", b"x")
    if how == "requeue":
        requeue(claimed["job"]["id"], "ta")
    if "cancel" in how:
        as_alice.post(f"/jobs/{claimed['job']['id']}/cancel")
    if "release" in how:
        as_gpu1.release(claimed)
    assert Attempt.objects.get().ended_at
    assert not OutputFile.objects.exists()


def test_run_again_the_earlier_files_are_history(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    job_id = finished(as_gpu1, claimed, a=b"old")
    requeue(job_id, "ta")
    assert fetch(as_alice, job_id, "a").status_code == 404
    finished(as_gpu1, as_gpu1.claim(), a=b"new")
    assert fetch(as_alice, job_id, "a").getvalue() == b"new"


def test_what_is_listed_and_was_never_kept_is_told(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    as_gpu1.send_file(claimed, "kept", b"12")
    left_out = [{"name": "huge", "reason": "it is too large"}]
    for _ in range(2):  # the same result, however often it is sent
        sent = as_gpu1.finish(claimed, files=listed("lost", "kept"), files_left_out=left_out)
        assert sent.status_code == 200
    result = as_alice.get(f"/jobs/{claimed['job']['id']}").json()["result"]
    assert result["files"] == [{"name": "kept", "size": 2}]
    lost = {"name": "lost", "reason": "the queue did not keep it"}
    assert result["details"]["files_left_out"] == [*left_out, lost]


@pytest.mark.parametrize("odd", ["text", 7, {"name": "a"}, ["a"], [{"name": 1}], [None], None, []])
def test_a_list_of_files_that_is_none_counts_as_empty(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any], odd: Any
) -> None:
    assert as_gpu1.finish(claimed, files=odd).status_code == 200
    assert as_alice.get(f"/jobs/{claimed['job']['id']}").json()["result"]["files"] == []


# --- What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["\n", "a\x1b[2J", "a\\b", "..", ".", "ü" * 128, "\u202e", "\0"])
def test_odd_names_are_refused(as_gpu1: Api, claimed: dict[str, Any], name: str) -> None:
    assert as_gpu1.send_file(claimed, name, b"x").status_code in (400, 404)
    assert not OutputFile.objects.exists()


def test_too_large_and_too_many_are_refused(
    as_gpu1: Api, claimed: dict[str, Any], limits: dict[str, int]
) -> None:
    most = limits["output_file_bytes"]
    assert problem(as_gpu1.send_file(claimed, "a", b"x" * (most + 1))) == (413, "body-too-large")
    assert as_gpu1.send_file(claimed, "a", b"x" * most).status_code == 200
    assert problem(as_gpu1.send_file(claimed, "b", b"x")) == (413, "files-too-large")
    assert as_gpu1.send_file(claimed, "a", b"y" * most).status_code == 200  # in its own place
    assert as_gpu1.send_file(claimed, "a", b"").status_code == 200
    assert as_gpu1.send_file(claimed, "b", b"").status_code == 200
    assert as_gpu1.send_file(claimed, "c", b"").status_code == 200
    assert problem(as_gpu1.send_file(claimed, "d", b"")) == (413, "files-too-large")


def test_a_refused_file_leaves_the_one_that_was_there(
    as_gpu1: Api, claimed: dict[str, Any], limits: dict[str, int]
) -> None:
    half = limits["output_file_bytes"] // 2
    as_gpu1.send_file(claimed, "a", b"x" * half)
    as_gpu1.send_file(claimed, "b", b"x" * half)
    assert as_gpu1.send_file(claimed, "b", b"x" * (half + 1)).status_code == 413
    assert list(OutputFile.objects.values_list("name", "size")) == [("a", half), ("b", half)]


def test_who_may_send(
    as_alice: Api, as_gpu1: Api, as_gpu2: Api, nobody: Api, claimed: dict[str, Any]
) -> None:
    assert problem(as_alice.send_file(claimed, "a", b"x")) == (403, "wrong-token-kind")
    assert problem(as_gpu2.send_file(claimed, "a", b"x")) == (404, "not-found")
    assert problem(nobody.send_file(claimed, "a", b"x")) == (401, "not-authenticated")
    for token in ("", "x", "ü"):
        assert problem(as_gpu1.send_file(claimed, "a", b"x", token)) == (409, "lease-lost")
    assert not OutputFile.objects.exists()


def test_two_of_the_largest_files_of_an_executor_are_taken_at_once(
    as_gpu1: Api, claimed: dict[str, Any], gpu1: Executor, settings: Any
) -> None:
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "output_file_bytes": 1000}
    for status in (200, 413, 200):  # whatever comes of one, the next has its place
        content = b"x" * (1000 if status == 200 else 3000)
        assert as_gpu1.send_file(claimed, "a", content).status_code == status
    one = SimpleNamespace(user=gpu1, META={"CONTENT_LENGTH": "990"})
    with parsers.reserved_for_file(one), parsers.reserved_for_file(one):
        answer = as_gpu1.send_file(claimed, "a", b"x" * 900)
    assert problem(answer) == (429, "too-many-requests")
    assert answer["Retry-After"]
    assert not parsers._files._taken


def test_a_body_without_a_length_is_refused(as_gpu1: Api, claimed: dict[str, Any]) -> None:
    path = f"/attempts/{claimed['attempt']['id']}/files/a"
    answer = as_gpu1.request("PUT", path, b"x", CONTENT_LENGTH="")
    assert problem(answer) == (411, "length-required")


# --- Gone with the job; the check --------------------------------------------------------


def test_files_go_with_their_job(as_gpu1: Api, claimed: dict[str, Any], alice: User) -> None:
    finished(as_gpu1, claimed, a=b"a")
    assert retention.prune(timezone.now() + timedelta(days=1), "ta") == 1
    assert not OutputPart.objects.exists()
    assert not OutputFile.objects.exists()
    assert not Job.objects.exists()


def test_deleting_jobs_reads_neither_files_nor_logs(
    as_gpu1: Api, claimed: dict[str, Any], django_assert_max_num_queries: Any
) -> None:
    finished(as_gpu1, claimed, a=EVERY_BYTE)
    with django_assert_max_num_queries(30) as queries:
        retention.prune(timezone.now() + timedelta(days=1), "ta")
    read = [q["sql"] for q in queries.captured_queries if q["sql"].startswith("SELECT")]
    read = [sql for sql in read if " SUM(" not in sql]  # the database counts what goes
    assert not [sql for sql in read if '"content"' in sql or "_log" in sql or "source" in sql]


def test_pruning_deletes_few_bytes_at_a_time(
    as_alice: Api, as_gpu1: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "_DELETED_BYTES", 25)
    for size in (10, 10, 10, 30, 0, 10):
        as_alice.submit()
        finished(as_gpu1, as_gpu1.claim(), a=b"x" * size)
    assert retention.prune(timezone.now() + timedelta(days=1), "ta") == 6
    deleted = AuditEntry.objects.filter(action="jobs-deleted").order_by("id")
    assert [len(entry.request["jobs"]) for entry in deleted] == [2, 1, 1, 2]


def test_a_reset_takes_files_along(as_gpu1: Api, claimed: dict[str, Any]) -> None:
    finished(as_gpu1, claimed, a=b"a")
    assert retention.reset_submissions("ta") == 1
    assert not OutputFile.objects.exists()


def test_the_check_names_files_that_are_lost_or_useless(
    as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    finished(as_gpu1, claimed, a=b"a", b=b"b")
    assert invariants.violations() == []
    OutputPart.objects.filter(file__name="b").delete()
    assert "has 0 of 1 bytes of file" in invariants.violations()[0]
    OutputFile.objects.filter(name="b").update(size=0)
    OutputFile.objects.filter(name="a").delete()
    assert invariants.violations() == [
        f"Job {claimed['job']['id']} lists file {name!r}, which is not kept." for name in "ab"
    ]
    requeue(claimed["job"]["id"], "ta")
    Attempt.objects.update(ending="expired", outcome="", details={})
    assert any("without a result" in fault for fault in invariants.violations())


def test_a_download_of_what_is_deleted_meanwhile_breaks_off(
    as_alice: Api, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    answer = fetch(as_alice, finished(as_gpu1, claimed, a=EVERY_BYTE), "a")
    parts = iter(answer.streaming_content)
    assert next(parts) == EVERY_BYTE[: outputs.PART_BYTES]
    retention.reset_submissions("ta")
    with pytest.raises(ConnectionResetError):
        next(parts)


# --- Staff -------------------------------------------------------------------------------


def test_staff_fetch_it_from_the_jobs_page(
    ta: Client, as_gpu1: Api, claimed: dict[str, Any]
) -> None:
    name = "größe <b>&.txt"
    as_gpu1.send_file(claimed, name, EVERY_BYTE)
    as_gpu1.finish(claimed, files=listed(name))
    job_id = claimed["job"]["id"]
    text = page(ta, f"/admin/jobs/job/{job_id}/change/")
    url = f"/admin/jobs/job/{job_id}/attempts/1/files/" + quote(name, safe="&")
    assert f'<a href="{url.replace("&", "&amp;")}">größe &lt;b&gt;&amp;.txt</a>' in text
    answer = ta.get(url)
    assert answer.getvalue() == EVERY_BYTE
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment; filename")
    requeue(job_id, "ta")
    assert ta.get(url).getvalue() == EVERY_BYTE  # as the logs of that attempt
    assert ta.get(url + "x").status_code == 404


def test_who_may_not_see_jobs_gets_no_file(
    as_gpu1: Api, claimed: dict[str, Any], alice: User
) -> None:
    job_id = finished(as_gpu1, claimed, a=b"secret")
    url = f"/admin/jobs/job/{job_id}/attempts/1/files/a"
    staff = User.objects.create_user("newcomer", is_staff=True)
    assert browser(staff).get(url).status_code == 403
    for user in (None, alice):
        answer = browser(user).get(url)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")
    staff.user_permissions.set(Permission.objects.filter(codename="view_job"))
    assert browser(staff).get(url).getvalue() == b"secret"
    assert browser(staff).get(url.replace("/a", "/b")).status_code == 404
