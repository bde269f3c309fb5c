"""What the audit log says of one job."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Executor, User
from jobs import cancelling, claiming, reporting, staff, submitting
from jobs.audit.history import history_of, who_cancelled, who_requeued
from jobs.models import Job
from jobs.states import Event, Phase
from jobs.submitting import Submission
from tests.support.admin import run, submit

pytestmark = pytest.mark.django_db


def test_who_cancelled_a_job_that_waits(alice: User) -> None:
    job = submit(alice)
    cancelling.cancel(job.pk, "ta")
    cancelled = who_cancelled(history_of(job.pk))
    assert cancelled is not None
    job.refresh_from_db()
    assert (cancelled.actor, cancelled.action) == ("ta", Event.CANCELLED)
    assert abs((cancelled.at - job.finished_at).total_seconds()) < 5


def test_who_cancelled_a_job_that_runs_is_who_asked_and_not_the_executor(
    alice: User, gpu1: Executor
) -> None:
    job = submit(alice)
    attempt = claiming.claim(gpu1)
    cancelling.cancel(job.pk, "ta")
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "stopped")
    assert Job.objects.get(pk=job.pk).state == "cancelled"
    assert who_cancelled(history_of(job.pk)).actor == "ta"


def test_what_took_its_place(alice: User) -> None:
    job = submit(alice)
    new, _ = submitting.submit(alice, Submission("x"), replace=True)
    entry = who_cancelled(history_of(job.pk))
    assert (entry.action, entry.actor, entry.replaced_by) == ("replaced", "alice", new.pk)


def test_who_had_it_run_again_and_an_earlier_cancel_is_of_an_earlier_life(
    alice: User, gpu1: Executor
) -> None:
    job = submit(alice)
    assert who_requeued(history_of(job.pk)) is None
    cancelling.cancel(job.pk, "alice")
    staff.requeue(job.pk, "ta")
    attempt = claiming.claim(gpu1)
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, Phase.EXECUTING)
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "the disk is full")
    history = history_of(job.pk)
    assert who_requeued(history).actor == "ta"
    assert who_cancelled(history) is None


def test_it_is_one_query_that_reads_no_source(alice: User, gpu1: Executor) -> None:
    job = submit(alice, source="// a source\n")
    run(gpu1)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        history = history_of(job.pk)
    assert len(queries) == 1
    assert "a source" not in repr(history)
    assert [entry.action for entry in history] == ["finished", "claimed"]
