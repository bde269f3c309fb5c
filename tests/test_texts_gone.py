"""Programs and logs that are no longer kept: digests stay, and nothing else is wrong."""

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import operations
from accounts.models import Executor, User
from accounts.platforms import Service
from foundation.problems import Problem
from jobs import claiming, invariants, reporting, retention, staff, submitting
from jobs.audit import file
from jobs.models import Attempt, AuditEntry, Job
from jobs.submitting import Submission
from tests.support.admin import JOBS, browser, page, run, submit
from tests.support.api import Api

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "zzsourcezz"
SOURCE = f"// {SECRET} äöü\n"


@pytest.fixture
def old(alice: User, gpu1: Executor, settings) -> Job:
    """A job that was over long ago."""
    settings.TELERUN_MAX_QUEUED_PER_USER = 9
    program = Submission(SOURCE, "a.cu", ["1"], {"b.cu": SOURCE}, {"c.h": SOURCE})
    job, _ = submitting.submit(alice, program, "key")
    attempt = claiming.claim(gpu1, service=Service({"cuda": "cuda"}, frozenset(["cuda"])))
    logs = {"compile_log": SECRET.encode(), "execute_log": SECRET.encode()}
    result = reporting.Result("succeeded", **logs, details={"gpu": {}})
    reporting.finish(gpu1, attempt.pk, attempt.lease_token, result)
    _ages(job)
    return job


def _ages(job: Job) -> None:
    long_ago = timezone.now() - timedelta(days=100)
    Job.objects.filter(pk=job.pk).update(submitted_at=long_ago)
    Job.objects.filter(pk=job.pk, state="finished").update(finished_at=long_ago)
    AuditEntry.objects.filter(job_id=job.pk).update(timestamp=long_ago)
    settings.TELERUN_AUDIT_LOG.unlink()  # which is then written as if it had been so
    file.follow()


def drop(days: int = 30) -> retention.Dropped:
    return retention.drop_texts(timezone.now() - timedelta(days=days), "command")


def test_texts_go_and_digests_stay(old: Job, audit_log: Path) -> None:
    call_command("telerun_db", "prune", "--sources-older-than", "30")
    job = Job.objects.get(pk=old.pk)
    assert (job.source, job.sources, job.includes) == ("", {}, {})
    assert (job.state, job.outcome, job.filename, job.args) == (
        "finished",
        "succeeded",
        "a.cu",
        ["1"],
    )
    proof = {"sha256": hashlib.sha256(SOURCE.encode()).hexdigest(), "bytes": len(SOURCE.encode())}
    assert job.texts_gone["files"] == {"a.cu": proof, "b.cu": proof, "c.h": proof}
    entry = AuditEntry.objects.get(action="submitted")
    assert entry.request["not_kept"] == job.texts_gone["files"]
    assert entry.request["filename"] == "a.cu"
    attempt = Attempt.objects.get()
    assert (bytes(attempt.compile_log), bytes(attempt.execute_log)) == (b"", b"")
    assert SECRET not in audit_log.read_text()
    assert SECRET not in str(list(Job.objects.values()) + list(AuditEntry.objects.values()))
    assert invariants.violations() == []


def test_what_is_younger_or_not_over_stays(old: Job, alice: User, gpu1: Executor) -> None:
    young = submit(alice, SOURCE)
    run(gpu1)
    waits = submit(alice, SOURCE)
    _ages(waits)
    dropped = drop()
    assert dropped == (1, 1)
    assert Job.objects.get(pk=young.pk).source == SOURCE
    assert Job.objects.get(pk=waits.pk).source == SOURCE
    kept = AuditEntry.objects.filter(action="submitted", request__has_key="source")
    assert {entry.job_id for entry in kept} == {young.pk, waits.pk}
    assert drop() == (0, 0)
    assert AuditEntry.objects.filter(action="texts-dropped").count() == 1


def test_entries_of_jobs_that_are_gone_lose_them_too(old: Job, audit_log: Path) -> None:
    operations.delete(User.objects.get(username="alice"), "ta")
    assert drop() == (0, 1)
    assert invariants.violations() == []
    assert SECRET not in audit_log.read_text()


def test_it_can_be_killed_and_done_again(old: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention.rewriting, "rewrite", killed)
        with pytest.raises(KeyboardInterrupt):
            drop()
    assert invariants.violations() == []
    assert drop() == (0, 1)
    assert invariants.violations() == []


def test_it_cannot_run_again_and_everyone_says_why(old: Job, alice: User, ta: Client) -> None:
    drop()
    with pytest.raises(Problem, match="no longer kept"):
        staff.requeue(old.pk, "ta")
    api = Api(alice.issue_token())
    job = api.get(f"/jobs/{old.pk}").json()
    assert job["texts_gone_at"]
    assert job["result"]["execute_log"] == ""
    refused = api.get(f"/jobs/{old.pk}/source")
    assert (refused.status_code, refused.json()["type"]) == (410, "/problems/no-longer-kept")
    assert "no longer kept" in page(ta, f"{JOBS}{old.pk}/change/")
    client = browser(None)
    client.post("/login", {"username": "alice", "token": alice.issue_token()})
    assert "no longer kept" in page(client, f"/jobs/{old.pk}")
    answer = client.get(f"/jobs/{old.pk}/source")
    assert answer.status_code == 410
    assert "no longer kept" in answer.content.decode()
    assert client.get(f"/jobs/{old.pk}/source/a.cu").status_code == 410


def test_the_same_key_still_gives_the_same_job(old: Job, alice: User) -> None:
    drop()
    program = Submission(SOURCE, "a.cu", ["1"], {"b.cu": SOURCE}, {"c.h": SOURCE})
    job, is_new = submitting.submit(alice, program, "key")
    assert (job.pk, is_new) == (old.pk, False)


def test_the_command_wants_one_of_its_options() -> None:
    with pytest.raises(CommandError, match="--sources-older-than"):
        call_command("telerun_db", "prune")


def test_a_follower_that_comes_later_keeps_the_file_right(old: Job, audit_log: Path) -> None:
    """Without `at_once` the file waits until no more entries change; what is new is appended."""
    drop()
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["action"] == "texts-dropped"
    assert invariants.violations() == []
    assert "not_kept" in json.loads(audit_log.read_text().splitlines()[0])["request"]


@pytest.mark.django_db(transaction=True)
def test_a_command_leaves_the_umask_as_it_was() -> None:
    """What others make in the same process afterwards is made as they want it."""
    before = os.umask(0o022)
    try:
        call_command("telerun_db", "prune", "--days", "30")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
